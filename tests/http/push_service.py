"""A push service on loopback, which plays the browser, too: it decrypts what the server sends.

It shares no code with the server: `cryptography` derives the keys (RFC 8291) and decrypts the record (RFC 8188), and PyJWT
verifies the token (RFC 8292). The first line of the output has the address and the keys of the browser, each other line a
request. The first segment of a path has the statuses of the answers to its requests, such as 503-201; the last one is repeated.
"""

import base64
import http.server
import json
import ssl
import sys
import threading

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUTH = bytes(range(16))
KEY = ec.generate_private_key(ec.SECP256R1())


def point(key):
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hkdf(salt, secret, info, length):
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def decrypt(body):
    salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    sender, record = body[21 : 21 + length], body[21 + length :]
    assert length == 65 and len(record) <= size and len(body) <= 4096
    shared = KEY.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
    secret = hkdf(AUTH, shared, b"WebPush: info\0" + point(KEY.public_key()) + sender, 32)
    key = hkdf(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = hkdf(salt, secret, b"Content-Encoding: nonce\0", 12)
    plain = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
    assert plain[-1:] == b"\2", "the last record"
    return plain[:-1]


def verify(authorization, origin):
    scheme, parameters = authorization.split(" ", 1)
    assert scheme == "vapid"
    parts = dict(part.strip().split("=", 1) for part in parameters.split(","))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(parts["k"]))
    return parts["k"], jwt.decode(parts["t"], key, algorithms=["ES256"], audience=origin)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    counts = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.lock:
            statuses = self.path.split("/")[1].split("-")
            count = self.counts.get(self.path, 0)
            self.counts[self.path] = count + 1
            status = int(statuses[min(count, len(statuses) - 1)])
            request = {"path": self.path, "status": status, "length": len(body)}
            try:
                request["headers"] = {name.lower(): value for name, value in self.headers.items()}
                request["key"], request["claims"] = verify(self.headers["authorization"], ORIGIN)
                request["message"] = json.loads(decrypt(body))
            except Exception as error:
                request["error"] = repr(error)
            print(json.dumps(request), flush=True)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
ORIGIN = f"https://127.0.0.1:{server.server_port}"
print(json.dumps({"url": ORIGIN, "p256dh": encode(point(KEY.public_key())), "auth": encode(AUTH)}), flush=True)
server.serve_forever()
