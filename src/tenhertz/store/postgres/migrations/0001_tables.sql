-- The tables of the first version. A migration is never changed once it was released.

CREATE TABLE source (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE entity (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id integer NOT NULL REFERENCES source (id),
    name text NOT NULL,
    UNIQUE (source_id, name)
);

CREATE TABLE position (
    server text PRIMARY KEY,
    position bigint NOT NULL
);

CREATE TABLE state (
    server text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (server, key)
);

CREATE TABLE sample (
    time_ns bigint NOT NULL,
    entity integer NOT NULL,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    number bigint NOT NULL,
    tick bigint NOT NULL,
    round_trip_us bigint NOT NULL,
    condition smallint NOT NULL,
    power_w real,
    setpoint_w real,
    soc real,
    charge_limit_w real,
    discharge_limit_w real,
    temperature_c real,
    faults bigint NOT NULL
) PARTITION BY RANGE (time_ns);

CREATE INDEX sample_entity_time ON sample (entity, time_ns);

CREATE INDEX sample_time ON sample USING brin (time_ns);

CREATE TABLE latest_sample (
    time_ns bigint NOT NULL,
    entity integer PRIMARY KEY,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    number bigint NOT NULL,
    tick bigint NOT NULL,
    round_trip_us bigint NOT NULL,
    condition smallint NOT NULL,
    power_w real,
    setpoint_w real,
    soc real,
    charge_limit_w real,
    discharge_limit_w real,
    temperature_c real,
    faults bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE sample_minute (
    entity integer NOT NULL,
    minute_ns bigint NOT NULL,
    rows bigint NOT NULL,
    number_sum double precision NOT NULL,
    number_count bigint NOT NULL,
    number_min bigint,
    number_max bigint,
    tick_sum double precision NOT NULL,
    tick_count bigint NOT NULL,
    tick_min bigint,
    tick_max bigint,
    round_trip_us_sum double precision NOT NULL,
    round_trip_us_count bigint NOT NULL,
    round_trip_us_min bigint,
    round_trip_us_max bigint,
    condition_sum double precision NOT NULL,
    condition_count bigint NOT NULL,
    condition_min smallint,
    condition_max smallint,
    power_w_sum double precision NOT NULL,
    power_w_count bigint NOT NULL,
    power_w_min real,
    power_w_max real,
    setpoint_w_sum double precision NOT NULL,
    setpoint_w_count bigint NOT NULL,
    setpoint_w_min real,
    setpoint_w_max real,
    soc_sum double precision NOT NULL,
    soc_count bigint NOT NULL,
    soc_min real,
    soc_max real,
    charge_limit_w_sum double precision NOT NULL,
    charge_limit_w_count bigint NOT NULL,
    charge_limit_w_min real,
    charge_limit_w_max real,
    discharge_limit_w_sum double precision NOT NULL,
    discharge_limit_w_count bigint NOT NULL,
    discharge_limit_w_min real,
    discharge_limit_w_max real,
    temperature_c_sum double precision NOT NULL,
    temperature_c_count bigint NOT NULL,
    temperature_c_min real,
    temperature_c_max real,
    faults_sum double precision NOT NULL,
    faults_count bigint NOT NULL,
    faults_min bigint,
    faults_max bigint,
    PRIMARY KEY (entity, minute_ns)
) WITH (fillfactor = 80);

CREATE INDEX sample_minute_time ON sample_minute USING brin (minute_ns);

CREATE TABLE tick (
    time_ns bigint NOT NULL,
    entity integer NOT NULL,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    tick bigint NOT NULL,
    late_us bigint NOT NULL,
    reason smallint NOT NULL,
    units integer NOT NULL,
    frequency_hz double precision,
    target_w double precision,
    baseline_w double precision,
    power_w double precision
) PARTITION BY RANGE (time_ns);

CREATE INDEX tick_entity_time ON tick (entity, time_ns);

CREATE INDEX tick_time ON tick USING brin (time_ns);

CREATE TABLE latest_tick (
    time_ns bigint NOT NULL,
    entity integer PRIMARY KEY,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    tick bigint NOT NULL,
    late_us bigint NOT NULL,
    reason smallint NOT NULL,
    units integer NOT NULL,
    frequency_hz double precision,
    target_w double precision,
    baseline_w double precision,
    power_w double precision
) WITH (fillfactor = 50);

CREATE TABLE tick_minute (
    entity integer NOT NULL,
    minute_ns bigint NOT NULL,
    rows bigint NOT NULL,
    tick_sum double precision NOT NULL,
    tick_count bigint NOT NULL,
    tick_min bigint,
    tick_max bigint,
    late_us_sum double precision NOT NULL,
    late_us_count bigint NOT NULL,
    late_us_min bigint,
    late_us_max bigint,
    reason_sum double precision NOT NULL,
    reason_count bigint NOT NULL,
    reason_min smallint,
    reason_max smallint,
    units_sum double precision NOT NULL,
    units_count bigint NOT NULL,
    units_min integer,
    units_max integer,
    frequency_hz_sum double precision NOT NULL,
    frequency_hz_count bigint NOT NULL,
    frequency_hz_min double precision,
    frequency_hz_max double precision,
    target_w_sum double precision NOT NULL,
    target_w_count bigint NOT NULL,
    target_w_min double precision,
    target_w_max double precision,
    baseline_w_sum double precision NOT NULL,
    baseline_w_count bigint NOT NULL,
    baseline_w_min double precision,
    baseline_w_max double precision,
    power_w_sum double precision NOT NULL,
    power_w_count bigint NOT NULL,
    power_w_min double precision,
    power_w_max double precision,
    PRIMARY KEY (entity, minute_ns)
) WITH (fillfactor = 80);

CREATE INDEX tick_minute_time ON tick_minute USING brin (minute_ns);

CREATE TABLE event (
    time_ns bigint NOT NULL,
    entity integer NOT NULL,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    severity smallint NOT NULL,
    text text NOT NULL
) PARTITION BY RANGE (time_ns);

CREATE INDEX event_entity_time ON event (entity, time_ns);

CREATE INDEX event_time ON event USING brin (time_ns);

CREATE TABLE latest_event (
    time_ns bigint NOT NULL,
    entity integer PRIMARY KEY,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    severity smallint NOT NULL,
    text text NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE event_minute (
    entity integer NOT NULL,
    minute_ns bigint NOT NULL,
    rows bigint NOT NULL,
    severity_sum double precision NOT NULL,
    severity_count bigint NOT NULL,
    severity_min smallint,
    severity_max smallint,
    PRIMARY KEY (entity, minute_ns)
) WITH (fillfactor = 80);

CREATE INDEX event_minute_time ON event_minute USING brin (minute_ns);

CREATE TABLE loss (
    time_ns bigint NOT NULL,
    entity integer NOT NULL,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    samples bigint NOT NULL,
    cause text NOT NULL
) PARTITION BY RANGE (time_ns);

CREATE INDEX loss_entity_time ON loss (entity, time_ns);

CREATE INDEX loss_time ON loss USING brin (time_ns);

CREATE TABLE latest_loss (
    time_ns bigint NOT NULL,
    entity integer PRIMARY KEY,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    samples bigint NOT NULL,
    cause text NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE loss_minute (
    entity integer NOT NULL,
    minute_ns bigint NOT NULL,
    rows bigint NOT NULL,
    samples_sum double precision NOT NULL,
    samples_count bigint NOT NULL,
    samples_min bigint,
    samples_max bigint,
    PRIMARY KEY (entity, minute_ns)
) WITH (fillfactor = 80);

CREATE INDEX loss_minute_time ON loss_minute USING brin (minute_ns);

CREATE TABLE cell (
    time_ns bigint NOT NULL,
    entity integer NOT NULL,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    voltage_v real[] NOT NULL,
    current_a real,
    temperature_c real[] NOT NULL
) PARTITION BY RANGE (time_ns);

CREATE INDEX cell_entity_time ON cell (entity, time_ns);

CREATE INDEX cell_time ON cell USING brin (time_ns);

CREATE TABLE latest_cell (
    time_ns bigint NOT NULL,
    entity integer PRIMARY KEY,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    voltage_v real[] NOT NULL,
    current_a real,
    temperature_c real[] NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE cell_minute (
    entity integer NOT NULL,
    minute_ns bigint NOT NULL,
    rows bigint NOT NULL,
    voltage_v_sum double precision NOT NULL,
    voltage_v_count bigint NOT NULL,
    voltage_v_min real,
    voltage_v_max real,
    current_a_sum double precision NOT NULL,
    current_a_count bigint NOT NULL,
    current_a_min real,
    current_a_max real,
    temperature_c_sum double precision NOT NULL,
    temperature_c_count bigint NOT NULL,
    temperature_c_min real,
    temperature_c_max real,
    PRIMARY KEY (entity, minute_ns)
) WITH (fillfactor = 80);

CREATE INDEX cell_minute_time ON cell_minute USING brin (minute_ns);

-- A pack of many cells is moved out of its row as it is: packing float numbers again gains nothing.
ALTER TABLE cell ALTER COLUMN voltage_v SET STORAGE EXTERNAL;
ALTER TABLE cell ALTER COLUMN temperature_c SET STORAGE EXTERNAL;
ALTER TABLE latest_cell ALTER COLUMN voltage_v SET STORAGE EXTERNAL;
ALTER TABLE latest_cell ALTER COLUMN temperature_c SET STORAGE EXTERNAL;

CREATE VIEW battery_telemetry AS
SELECT timestamptz 'epoch' + (taken.time_ns / 1000) * interval '1 microsecond' AS time,
    source.name || '/' || entity.name AS pack_id,
    one.cell_id::integer AS cell_id,
    one.voltage,
    taken.current_a AS current,
    one.temperature
FROM cell AS taken
JOIN entity ON entity.id = taken.entity
JOIN source ON source.id = entity.source_id
CROSS JOIN LATERAL unnest(taken.voltage_v, taken.temperature_c)
    WITH ORDINALITY AS one (voltage, temperature, cell_id);

-- The same between two instants. A condition on the view's `time` reads every day; this only those
-- that are asked for.
CREATE FUNCTION battery_telemetry_between(from_time timestamptz, until_time timestamptz)
RETURNS TABLE (
    "time" timestamptz, pack_id text, cell_id integer,
    voltage real, current real, temperature real
)
LANGUAGE sql STABLE
AS $$
SELECT timestamptz 'epoch' + (taken.time_ns / 1000) * interval '1 microsecond',
    source.name || '/' || entity.name,
    one.cell_id::integer,
    one.voltage,
    taken.current_a,
    one.temperature
FROM cell AS taken
JOIN entity ON entity.id = taken.entity
JOIN source ON source.id = entity.source_id
CROSS JOIN LATERAL unnest(taken.voltage_v, taken.temperature_c)
    WITH ORDINALITY AS one (voltage, temperature, cell_id)
WHERE taken.time_ns >= (extract(epoch FROM from_time) * 1000000000)::bigint
    AND taken.time_ns < (extract(epoch FROM until_time) * 1000000000)::bigint
$$;
