"""Mistakes in a `site.toml`: what is changed in a good one, and what is told."""

GOOD = """\
[site]
name = "alpha"

[frequency]
source = "meter"
host = "10.0.0.1"

[[unit]]
name = "c1"
host = "10.0.0.2"
power_kw = 100
energy_kwh = 200

[[unit]]
name = "c2"
host = "10.0.0.3"
power_kw = 120
energy_kwh = 240

[[contract]]
product = "fcr-n"
capacity_kw = 50
"""
TAIL = "capacity_kw = 50\n"  # the end of the file: what follows it, belongs to the contract
SITE = '[site]\nname = "alpha"\n'
UNITS = GOOD[GOOD.index("[[unit]]") : GOOD.index("[[contract]]")]

# What is changed, into what, and the whole message behind the file's name.
MISTAKES = {
    "wrong key": (
        'name = "c2"',
        'nmae = "c2"',
        ", line 15: unknown key 'nmae' in [unit number 2]; did you mean 'name'?",
    ),
    "wrong key far from any": (
        SITE,
        SITE + "zzz = 1\n",
        (
            ", line 3: unknown key 'zzz' in [site]; known are: "
            "name, data_dir, runtime_dir, export_limit_kw, import_limit_kw"
        ),
    ),
    "wrong table": (
        TAIL,
        TAIL + "[contrl]\nperiod_ms = 100\n",
        ", line 23: unknown key 'contrl'; did you mean 'control'?",
    ),
    "text for a number": (
        "power_kw = 120",
        'power_kw = "120"',
        (
            ", line 17: power_kw in [unit number 2]: expected a number (float), "
            "got text in quotes (str)"
        ),
    ),
    "number for text": (
        'host = "10.0.0.3"',
        "host = 10",
        (
            ", line 16: host in [unit number 2]: expected text in quotes (str), "
            "got a whole number (int)"
        ),
    ),
    "fraction for a port": (
        'host = "10.0.0.3"',
        'host = "10.0.0.3"\nport = 50.5',
        ", line 17: port in [unit number 2]: expected a whole number (int), got a number (float)",
    ),
    "port out of range": (
        'host = "10.0.0.3"',
        'host = "10.0.0.3"\nport = 70000',
        ", line 17: port in [unit number 2]: expected a whole number (int) <= 65535",
    ),
    "power below nothing": (
        "power_kw = 100",
        "power_kw = -1",
        ", line 11: power_kw in [unit number 1]: expected a number (float) > 0.0",
    ),
    "infinite power": (
        "power_kw = 100",
        "power_kw = inf",
        (
            ", line 11: power_kw in [unit number 1]: inf is not a number to work with; "
            "give a finite one"
        ),
    ),
    "baseline that is no number": (
        TAIL,
        TAIL + "[reserves]\nbaseline_kw = nan\n",
        ", line 24: baseline_kw in [reserves]: nan is not a number to work with; give a finite one",
    ),
    "number beyond all": (
        "power_kw = 100",
        "power_kw = " + "9" * 400,
        ", line 11: power_kw in [unit number 1]: the number is too large",
    ),
    "unknown choice": (
        '"meter"',
        '"metre"',
        ", line 5: source in [frequency]: there is no 'metre'; did you mean 'meter'?",
    ),
    "unknown choice far from any": (
        TAIL,
        TAIL + '[store]\nsync = "off"\n',
        ", line 24: sync in [store]: there is no 'off'; known are: full, normal",
    ),
    "missing key": (
        "energy_kwh = 240\n",
        "",
        ", line 14: 'energy_kwh' is missing in [unit number 2]; add it",
    ),
    "missing table": (SITE, "", ": the table [site] is missing; add it"),
    "no unit": (UNITS, "", ": the table [[unit]] is missing; add it"),
    "empty units": (
        SITE + GOOD[len(SITE) : GOOD.index("[[unit]]")] + UNITS,
        "unit = []\n" + GOOD[: GOOD.index("[[unit]]")],
        ": there is no [[unit]]; name at least one battery",
    ),
    "one bracket for a unit": (
        UNITS,
        UNITS.split("\n\n")[0].replace("[[unit]]", "[unit]") + "\n\n",
        ", line 8: unit: this is to be a table: write [[unit]], and its keys below it",
    ),
    "two brackets for the site": (
        "[site]",
        "[[site]]",
        ", line 1: site: this is to be a table: write [site], and its keys below it",
    ),
    "a value for a table": (
        SITE,
        "site = 3\n",
        ", line 1: site: this is to be a table: write [site], and its keys below it",
    ),
    "text without quotes": (
        'name = "c2"',
        "name = c2",
        " is not valid TOML: Invalid value (at line 15, column 8); text stands in quotes",
    ),
    "the same key twice": (
        'name = "c2"',
        'name = "c2"\nname = "c3"',
        " is not valid TOML: Cannot overwrite a value (at line 16, column 12)",
    ),
    "a number without end": (
        "power_kw = 100",
        "power_kw = " + "9" * 5000,
        " is not valid TOML: a number in it is too long, or a list too deep; simplify it",
    ),
    "lists without end": (
        TAIL,
        TAIL + "x = " + "[" * 5000,
        " is not valid TOML: a number in it is too long, or a list too deep; simplify it",
    ),
    "a name twice": (
        'name = "c2"',
        'name = "c1"',
        ": two units are called 'c1'; rename one of them",
    ),
    "no name": ('name = "c2"', 'name = " "', ": a unit has an empty name; give it one"),
    "no host": (
        '"10.0.0.3"',
        '""',
        ": unit 'c2' has an empty host; give its name or address",
    ),
    "the same device twice": (
        "10.0.0.3",
        "10.0.0.2",
        ": units 'c1' and 'c2' are the same device (10.0.0.2:502, unit id 1); change one of them",
    ),
    "unknown map": (
        'host = "10.0.0.3"',
        'host = "10.0.0.3"\nmap = "generic-contaner"',
        (
            ": unit 'c2': there is no register map 'generic-contaner'; "
            "did you mean 'generic-container'?"
        ),
    ),
    "a map that is no battery": (
        'host = "10.0.0.3"',
        'host = "10.0.0.3"\nmap = "frequency-meter"',
        (
            ": unit 'c2': the map 'frequency-meter' has no [control] table, so the unit cannot be "
            "a battery; name another map"
        ),
    ),
    "unknown map of the meter": (
        'host = "10.0.0.1"',
        'host = "10.0.0.1"\nmap = "frequency-metre"',
        (
            ": frequency.map: there is no register map 'frequency-metre'; "
            "did you mean 'frequency-meter'?"
        ),
    ),
    "a map that is no meter": (
        'host = "10.0.0.1"',
        'host = "10.0.0.1"\nmap = "generic-container"',
        ": frequency.map 'generic-container' has no point 'frequency_hz'; name another map",
    ),
    "meter without host": (
        'host = "10.0.0.1"\n',
        "",
        ": frequency.source is 'meter': name its host in frequency.host",
    ),
    "recording without name": (
        '"meter"',
        '"recording"',
        ": frequency.source is 'recording': name it in frequency.recording",
    ),
    "unknown recording": (
        '"meter"',
        '"recording"\nrecording = "nordic"',
        ": frequency.recording 'nordic' is neither a file nor one of: nordic-2024-04-08; change it",
    ),
    "a band upside down": (
        'host = "10.0.0.1"',
        'host = "10.0.0.1"\nlowest_hz = 51\nhighest_hz = 50',
        ": frequency.lowest_hz (51) must be below frequency.highest_hz (50); change one of them",
    ),
    "unknown profile": (
        TAIL,
        TAIL + '[reserves]\nprofile = "nordic"\n',
        (
            ": reserves.profile: there is no profile 'nordic'; the known ones are: "
            "continental, nordic-1.1"
        ),
    ),
    "a product of another profile": (
        TAIL,
        TAIL + '[reserves]\nprofile = "continental"\n',
        ": contract 1: profile continental has no product 'fcr-n'; it has: fcr",
    ),
    "energy management that the profile does not have": (
        'product = "fcr-n"\n' + TAIL,
        'product = "fcr"\n' + TAIL + '[reserves]\nprofile = "continental"\n',
        (
            ": contract 1: profile 'continental' has no energy management for 'fcr'; "
            "set reserves.limited_energy = false"
        ),
    ),
    "a time without a zone": (
        TAIL,
        TAIL + "start = 2026-01-01T00:00:00\n",
        (
            ": contract 1: start 2026-01-01 00:00:00 has no time zone; add Z or an offset "
            "such as +02:00 to it"
        ),
    ),
    "a date without a time": (
        TAIL,
        TAIL + "start = 2026-01-01\n",
        (
            ", line 23: start in [contract number 1]: expected a date and time such as "
            "2026-01-31T00:00:00Z, got a date without a time"
        ),
    ),
    "a time that is none": (
        TAIL,
        TAIL + 'start = "tomorrow"\n',
        (
            ", line 23: start in [contract number 1]: expected a date and time such as "
            "2026-01-31T00:00:00Z"
        ),
    ),
    "the end before the start": (
        TAIL,
        TAIL + "start = 2026-01-02T00:00:00Z\nend = 2026-01-01T00:00:00Z\n",
        (
            ": contract 1 ends (2026-01-01 00:00:00+00:00) before it starts "
            "(2026-01-02 00:00:00+00:00); change one of them"
        ),
    ),
    "a site name that is no file name": (
        '"alpha"',
        '"al/pha"',
        (
            ": site.name 'al/pha' may hold up to 63 letters, digits, '.', '_' and '-', and begins "
            "with a letter or digit; change it"
        ),
    ),
    "a runtime folder that depends on where one stands": (
        SITE,
        SITE + 'runtime_dir = "run"\n',
        (
            ": site.runtime_dir 'run' must be a whole path, from '/' on, so that every process "
            "finds it; change it"
        ),
    ),
    "hung before it can beat": (
        TAIL,
        TAIL + "[control]\nperiod_ms = 200\nhung_after_ms = 500\n",
        ": control.hung_after_ms is 500, too short for a period of 200 ms; set it to 600 or more",
    ),
    "frequency lost between two questions": (
        TAIL,
        TAIL + "[control]\nperiod_ms = 400\n",
        ": frequency.lost_after_ms is 500, too short for a period of 400 ms; set it to 800 or more",
    ),
    "a database without a name": (
        TAIL,
        TAIL + '[store]\nfile = ""\n',
        ": store.file must name a file; change it",
    ),
}
