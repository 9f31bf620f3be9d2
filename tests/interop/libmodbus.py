"""libmodbus by ctypes, and as a program: a slave that tells what it sees.

`python libmodbus.py '{"100": [1, 2]}'` serves 300 holding registers, preset as given, to one client
after the other. It prints its port, then one JSON line for each request: the bytes of the request
and the control registers (200 to 205) as they stand after it.
"""

import ctypes
import json
import socket
import sys

REGISTERS = 300
LONGEST_REQUEST = 260
Word = ctypes.c_uint16


class Mapping(ctypes.Structure):
    """`modbus_mapping_t` of libmodbus 3.1."""

    _fields_ = (
        *(
            (f"{what}_{kind}", ctypes.c_int)
            for kind in ("bits", "input_bits")
            for what in ("nb", "start")
        ),
        *(
            (f"{what}_{kind}", ctypes.c_int)
            for kind in ("input_registers", "registers")
            for what in ("nb", "start")
        ),
        ("tab_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_registers", ctypes.POINTER(Word)),
        ("tab_registers", ctypes.POINTER(Word)),
    )


def load():
    """The library with the types of what is used here.

    Raises:
        OSError: it is not installed.
    """
    library = ctypes.CDLL("libmodbus.so.5", use_errno=True)
    context = ctypes.c_void_p
    library.modbus_new_tcp.restype = context
    library.modbus_mapping_new.restype = ctypes.POINTER(Mapping)
    library.modbus_strerror.restype = ctypes.c_char_p
    for name, *arguments in (
        ("modbus_tcp_listen", ctypes.c_int),
        ("modbus_tcp_accept", ctypes.POINTER(ctypes.c_int)),
        ("modbus_receive", ctypes.c_char_p),
        ("modbus_reply", ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(Mapping)),
        ("modbus_connect",),
        ("modbus_close",),
        ("modbus_free",),
        ("modbus_set_slave", ctypes.c_int),
        ("modbus_read_registers", ctypes.c_int, ctypes.c_int, ctypes.POINTER(Word)),
        ("modbus_write_register", ctypes.c_int, Word),
        ("modbus_write_registers", ctypes.c_int, ctypes.c_int, ctypes.POINTER(Word)),
    ):
        getattr(library, name).argtypes = (context, *arguments)
    return library


class Master:
    """libmodbus as a client."""

    def __init__(self, library, port, unit_id=1):
        self._library = library
        self._context = library.modbus_new_tcp(b"127.0.0.1", port)
        self._check(library.modbus_set_slave(self._context, unit_id))
        self._check(library.modbus_connect(self._context))

    def _check(self, outcome):
        if outcome < 0:
            raise OSError(self._library.modbus_strerror(ctypes.get_errno()).decode())
        return outcome

    def read(self, address, count):
        """Function 3."""
        words = (Word * count)()
        got = self._library.modbus_read_registers(self._context, address, count, words)
        assert self._check(got) == count
        return list(words)

    def write(self, address, *words):
        """Function 6 for one register, 16 for more."""
        if len(words) == 1:
            self._check(self._library.modbus_write_register(self._context, address, words[0]))
        else:
            several = (Word * len(words))(*words)
            self._check(
                self._library.modbus_write_registers(self._context, address, len(words), several)
            )

    def close(self):
        """End the connection."""
        self._library.modbus_close(self._context)
        self._library.modbus_free(self._context)


def serve(preset):
    """Serve until killed."""
    library = load()
    context = library.modbus_new_tcp(b"127.0.0.1", 0)
    mapping = library.modbus_mapping_new(0, 0, REGISTERS, 0)
    registers = mapping.contents.tab_registers
    for address, words in preset.items():
        for offset, word in enumerate(words):
            registers[int(address) + offset] = word
    listening = ctypes.c_int(library.modbus_tcp_listen(context, 5))
    with socket.socket(fileno=listening.value) as known:
        print(json.dumps({"port": known.getsockname()[1]}), flush=True)
        request = ctypes.create_string_buffer(LONGEST_REQUEST)
        while library.modbus_tcp_accept(context, ctypes.byref(listening)) >= 0:
            while (size := library.modbus_receive(context, request)) >= 0:
                library.modbus_reply(context, request, size, mapping)
                seen = {"request": request.raw[:size].hex(), "control": registers[200:206]}
                print(json.dumps(seen), flush=True)
            library.modbus_close(context)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
