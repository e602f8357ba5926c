"""Signs tokens with PyJWT, which shares no code with the server.

The first line of the output has the public keys. Then each line of the input, {"alg", "claims", "headers", "key"}, is answered
with a token. `key` names one of the key pairs, or is a secret.
"""

import base64
import hashlib
import hmac
import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size):
    return base64url(value.to_bytes(size, "big"))


def jwk(key):
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n, key.key_size // 8), "e": number(numbers.e, 3)}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = public.public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw)}


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


keys = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "rsa2": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ec2": ec.generate_private_key(ec.SECP256R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
    "ed2": ed25519.Ed25519PrivateKey.generate(),
}
weak = {"rsa1024": rsa.generate_private_key(65537, 1024), "p384": ec.generate_private_key(ec.SECP384R1())}
public = {name: {"pem": pem(key), "private": private_pem(key), "jwk": jwk(key)} for name, key in keys.items()}
public.update({name: {"pem": pem(key)} for name, key in weak.items()})
print(json.dumps(public), flush=True)

for line in sys.stdin:
    order = json.loads(line)
    headers = order.get("headers", {})
    if order["alg"] == "confused":
        # PyJWT refuses to use a public key as a secret, so this is by hand.
        header = {"typ": "JWT", "alg": "HS256", **headers}
        message = ".".join(base64url(json.dumps(part).encode()) for part in (header, order["claims"]))
        signature = hmac.new(order["key"].encode(), message.encode(), hashlib.sha256).digest()
        token = message + "." + base64url(signature)
    else:
        key = keys.get(order["key"], order["key"]) if order["key"] else None
        token = jwt.api_jws.encode(json.dumps(order["claims"]).encode(), key, order["alg"], headers=headers)
    print(token, flush=True)
