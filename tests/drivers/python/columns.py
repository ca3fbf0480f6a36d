"""A column of every type, and rows with what can be difficult in them."""

import datetime
import decimal
import json

COLUMNS = {
    "tiny": "TINYINT", "tiny_u": "TINYINT UNSIGNED", "small": "SMALLINT", "small_u": "SMALLINT UNSIGNED",
    "medium": "MEDIUMINT", "medium_u": "MEDIUMINT UNSIGNED", "normal": "INT", "normal_u": "INT UNSIGNED",
    "big": "BIGINT", "big_u": "BIGINT UNSIGNED", "truth": "BOOLEAN",
    "price": "DECIMAL(40,10)", "ratio": "FLOAT", "exact": "DOUBLE",
    "day": "DATE", "hours": "TIME", "hours_micro": "TIME(6)", "moment": "DATETIME", "moment_milli": "DATETIME(3)",
    "moment_micro": "DATETIME(6)", "stamp": "TIMESTAMP NULL", "stamp_micro": "TIMESTAMP(6) NULL", "in_year": "YEAR",
    "letters": "CHAR(10)", "words": "VARCHAR(200)", "latin": "VARCHAR(20) CHARACTER SET latin1",
    "story_tiny": "TINYTEXT", "story": "TEXT", "story_medium": "MEDIUMTEXT", "story_long": "LONGTEXT",
    "raw_fixed": "BINARY(8)", "raw": "VARBINARY(300)",
    "blob_tiny": "TINYBLOB", "blob_normal": "BLOB", "blob_medium": "MEDIUMBLOB", "blob_long": "LONGBLOB",
    "flag": "BIT(1)", "bits": "BIT(20)", "bits_all": "BIT(64)",
    "colour": "ENUM('red', 'green', 'it''s blue')", "tags": "SET('a', 'b', 'c', 'd')", "doc": "JSON",
}

ALL_BYTES = bytes(range(256))

USUAL = {
    "tiny": 1, "tiny_u": 2, "small": 3, "small_u": 4, "medium": 5, "medium_u": 6, "normal": 7, "normal_u": 8,
    "big": 9, "big_u": 10, "truth": 1,
    "price": decimal.Decimal("1234.5678900000"), "ratio": 0.5, "exact": 0.1,
    "day": datetime.date(2024, 2, 29), "hours": datetime.timedelta(hours=12, minutes=34, seconds=56),
    "hours_micro": datetime.timedelta(hours=1, microseconds=1), "moment": datetime.datetime(2024, 2, 29, 23, 59, 58),
    "moment_milli": datetime.datetime(2024, 2, 29, 23, 59, 58, 123000),
    "moment_micro": datetime.datetime(2024, 2, 29, 23, 59, 58, 123456), "stamp": datetime.datetime(2024, 7, 1, 12),
    "stamp_micro": datetime.datetime(2024, 7, 1, 12, 0, 0, 654321), "in_year": 2024,
    "letters": "letters", "words": "some words", "latin": "Grüße",
    "story_tiny": "tiny 👍", "story": "a story", "story_medium": "medium", "story_long": "long",
    "raw_fixed": b"8 bytes!", "raw": b"\0'\"\\\x1a\n\r\xff",
    "blob_tiny": ALL_BYTES[:250], "blob_normal": ALL_BYTES, "blob_medium": ALL_BYTES * 2, "blob_long": ALL_BYTES * 300,
    "flag": b"\1", "bits": b"\x0a\xbc\xde", "bits_all": b"\x80\0\0\0\0\0\0\1",
    "colour": "it's blue", "tags": "a,c", "doc": json.dumps({"a": [1, 2.5, None, True], "ü": "👍"}),
}

LEAST = {
    "tiny": -(2**7), "tiny_u": 0, "small": -(2**15), "small_u": 0, "medium": -(2**23), "medium_u": 0,
    "normal": -(2**31), "normal_u": 0, "big": -(2**63), "big_u": 0, "truth": 0,
    "price": decimal.Decimal("-" + "9" * 30 + "." + "9" * 10), "ratio": -1.5, "exact": -1.7976931348623157e308,
    "day": datetime.date(1000, 1, 1), "hours": datetime.timedelta(0), "hours_micro": datetime.timedelta(0),
    "moment": datetime.datetime(1000, 1, 1), "moment_milli": datetime.datetime(1000, 1, 1),
    "moment_micro": datetime.datetime(1000, 1, 1), "stamp": datetime.datetime(1971, 1, 1),
    "stamp_micro": datetime.datetime(1971, 1, 1), "in_year": 1901,
    "letters": "", "words": "", "latin": "", "story_tiny": "", "story": "", "story_medium": "", "story_long": "",
    "raw_fixed": bytes(8), "raw": b"", "blob_tiny": b"", "blob_normal": b"", "blob_medium": b"", "blob_long": b"",
    "flag": b"\0", "bits": bytes(3), "bits_all": bytes(8), "colour": "red", "tags": "", "doc": "[]",
}

GREATEST = {
    "tiny": 2**7 - 1, "tiny_u": 2**8 - 1, "small": 2**15 - 1, "small_u": 2**16 - 1, "medium": 2**23 - 1,
    "medium_u": 2**24 - 1, "normal": 2**31 - 1, "normal_u": 2**32 - 1, "big": 2**63 - 1, "big_u": 2**64 - 1,
    "truth": 127,
    "price": decimal.Decimal("9" * 30 + "." + "9" * 10), "ratio": 65536.0, "exact": 1.7976931348623157e308,
    "day": datetime.date(9999, 12, 31), "hours": datetime.timedelta(hours=838, minutes=59, seconds=59),
    "hours_micro": datetime.timedelta(hours=838, minutes=59, seconds=58, microseconds=999999),
    "moment": datetime.datetime(9999, 12, 31, 23, 59, 59),
    "moment_milli": datetime.datetime(9999, 12, 31, 23, 59, 59, 999000),
    "moment_micro": datetime.datetime(9999, 12, 31, 23, 59, 59, 999999),
    "stamp": datetime.datetime(2038, 1, 1), "stamp_micro": datetime.datetime(2038, 1, 1, 0, 0, 0, 999999),
    "in_year": 2155,
    # Lengths around those at which the length before a value takes another byte: 251 and 65536.
    "letters": "👍" * 10, "words": "ü" * 126, "latin": "ÿ" * 20, "story_tiny": "t" * 250, "story": "s" * 251,
    "story_medium": "m" * 65535, "story_long": "l" * 65536,
    "raw_fixed": b"\xff" * 8, "raw": b"\xfb" * 300, "blob_tiny": b"\xfe" * 255, "blob_normal": b"\xff" * 65535,
    "blob_medium": b"\0" * 65536, "blob_long": b"\xfb" * 100_000,
    "flag": b"\1", "bits": b"\x0f\xff\xff", "bits_all": b"\xff" * 8, "colour": "it's blue", "tags": "a,b,c,d",
    "doc": json.dumps({"deep": [[[[[{"x": 1e100}]]]]], "wide": list(range(200))}),
}

ROWS = [USUAL, LEAST, GREATEST, dict.fromkeys(COLUMNS)]


def definitions():
    return ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())


def same(name, sent, got):
    """Whether a value came back as the one that was sent. Servers may write the same JSON in another way."""
    if name == "doc" and sent is not None:
        return json.loads(sent) == json.loads(got)
    return type(got) is type(sent) and got == sent
