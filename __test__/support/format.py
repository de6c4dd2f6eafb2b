"""Reads and writes sealed sessions by docs/format.md alone, with nothing of the store.

python format.py check FORMAT.MD      opens each test vector; says how many
python format.py write                reads {secret, id, records: [{key, text}]} from stdin as JSON, and
                                      prints each record sealed, as hex and as letters
"""

import base64
import hashlib
import hmac
import json
import os
import re
import struct
import sys

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

MAGIC = b"\0crs"
VERSION = 1
ENCRYPTED = 0b011
COMPRESSED = 0b100
MOST = 64 * 1024 * 1024


def session_key(secret, redis_key):
    master = hmac.new(b"connect-redis-rs/1", secret, hashlib.sha256).digest()
    return HKDFExpand(algorithm=SHA256(), length=32, info=redis_key).derive(master)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(letters):
    return base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))


def open_record(stored, redis_key, secrets):
    if stored.startswith(b"crs1."):
        stored = from_base64url(stored[5:].decode())
    if not stored.startswith(MAGIC):
        return stored
    version, flags = stored[4], stored[5]
    assert version == VERSION
    assert flags & ~COMPRESSED in (0, ENCRYPTED)
    content = stored[6:]
    if flags & ENCRYPTED:
        (key_id,) = struct.unpack(">I", stored[6:10])
        header, nonce, content = stored[:22], stored[10:22], stored[22:]
        key = session_key(secrets[key_id], redis_key)
        content = AESGCM(key).decrypt(nonce, content, header + redis_key)
    if flags & COMPRESSED:
        length = zstandard.frame_content_size(content)
        assert 0 <= length <= MOST
        content = zstandard.ZstdDecompressor().decompress(content, max_output_size=length)
        assert len(content) == length
    return content


def seal_record(text, redis_key, key_id, secret, compress):
    flags = ENCRYPTED
    if compress:
        text = zstandard.ZstdCompressor(level=3).compress(text)
        flags |= COMPRESSED
    nonce = os.urandom(12)
    header = MAGIC + bytes([VERSION, flags]) + struct.pack(">I", key_id) + nonce
    key = session_key(secret, redis_key)
    return header + AESGCM(key).encrypt(nonce, text, header + redis_key)


def check(document):
    with open(document, encoding="utf-8") as file:
        vectors = json.loads(re.search(r"^```json\n(.*?)^```$", file.read(), re.M | re.S).group(1))
    secrets = {secret["id"]: bytes.fromhex(secret["hex"]) for secret in vectors["secrets"]}
    for record in vectors["records"]:
        stored = record["stored"]
        value = bytes.fromhex(stored["hex"]) if "hex" in stored else stored["text"].encode()
        redis_key = record["key"].encode()
        assert open_record(value, redis_key, secrets) == record["text"].encode(), record["what"]
        if b"\x03" == value[5:6] and value.startswith(MAGIC):
            try:
                open_record(value, redis_key + b"x", secrets)
            except Exception:
                continue
            raise AssertionError(f"{record['what']}: it opens at another key")
    handle = "sha256:" + base64url(hashlib.sha256(b"abc").digest())
    assert any(record["key"] == f"sess:{handle}" for record in vectors["records"])
    print(len(vectors["records"]))


def write():
    asked = json.load(sys.stdin)
    secret = asked["secret"].encode()
    made = []
    for record in asked["records"]:
        redis_key, text = record["key"].encode(), record["text"].encode()
        sealed = seal_record(text, redis_key, asked["id"], secret, len(text) > 200)
        assert open_record(sealed, redis_key, {asked["id"]: secret}) == text
        made.append({"hex": sealed.hex(), "letters": "crs1." + base64url(sealed)})
    print(json.dumps(made))


if __name__ == "__main__":
    if sys.argv[1] == "check":
        check(sys.argv[2])
    else:
        write()
