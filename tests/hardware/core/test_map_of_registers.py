"""Numbers that boards, drivers and cores in the field share: they never change without the version of the map."""

from izhi.hardware.core.protocol import ABORTED, IDENTITY, VERSION, Control, Error, Opcode, Register, Status


def test_the_map_of_version_2_stays_as_it_is():
    """COUNT came later, for cores of new fingerprints alone."""
    assert (IDENTITY.to_bytes(4, "big"), VERSION, ABORTED) == (b"IZHI", 2, 0xF0000000)
    assert {x.name: int(x) for x in Register} == {
        "IDENTITY": 0x00, "VERSION": 0x04, "CONTROL": 0x08, "STATUS": 0x0C, "STEPS": 0x10, "FINGERPRINT": 0x14,
        "CYCLES": 0x18, "EVENTS": 0x1C, "SPIKES": 0x20, "INFERENCES": 0x24, "WORD": 0x28, "LAST_WORD": 0x2C,
    }  # fmt: skip
    assert {x.name: int(x) for x in Opcode} == {"SPIKE": 0, "STEP": 1, "END": 2, "PAIR": 3, "COUNT": 4, "WRITE": 8}
    assert {x.name: int(x) for x in Status} == {"BUSY": 0, "ANSWERING": 1, "ERROR": 8}
    assert {x.name: int(x) for x in Control} == {"RUN": 0, "CLEAR": 1, "SENDS_SPIKES": 2, "ACKNOWLEDGE": 3}
    assert {x.name: int(x) for x in Error} == {
        "NONE": 0, "OPCODE": 1, "SOURCE": 2, "MEMORY": 3, "LAST": 4, "STEPS": 5, "COUNT": 6,
    }  # fmt: skip
