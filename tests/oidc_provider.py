"""A provider of OpenID Connect, of the tests: it signs in whom the test says, and looks at what it is asked."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.server
import json
import secrets
import threading
import time
import urllib.parse
from typing import Any

from joserfc import jwk, jwt

CLIENT, SECRET = "tidemill", "a secret of the tests"


@dataclasses.dataclass
class Provider:
    """What it says of who comes, and what it has seen. `changes`: of the token, over what is right."""

    claims: dict[str, Any] = dataclasses.field(default_factory=lambda: {"sub": "u-1"})
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    algorithm: str = "RS256"
    other_key: bool = False
    asked: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    url: str = ""
    _key: jwk.RSAKey = dataclasses.field(default_factory=lambda: jwk.RSAKey.generate_key(2048, {"kid": "k"}))

    def start(self) -> http.server.ThreadingHTTPServer:
        """Begin to answer."""
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.get(self)

            def do_POST(self) -> None:
                provider.post(self)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def get(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Discovery, keys, and the page on which somebody would sign in: here they come back at once."""
        parts = urllib.parse.urlsplit(handler.path)
        match parts.path:
            case "/.well-known/openid-configuration":
                ends = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token")}
                _answer(handler, {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **ends})
            case "/keys":
                _answer(handler, {"keys": [self._key.as_dict(private=False)]})
            case "/authorization":
                asked = dict(urllib.parse.parse_qsl(parts.query))
                code = secrets.token_urlsafe(8)
                self.asked[code] = asked
                back = urllib.parse.urlencode({"code": code, "state": asked["state"]})
                handler.send_response(302)
                handler.send_header("location", f"{asked['redirect_uri']}?{back}")
                handler.end_headers()
            case _:
                handler.send_error(404)

    def post(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """The token, for a code that was given once, to who has what it was asked by."""
        given = dict(urllib.parse.parse_qsl(handler.rfile.read(int(handler.headers["content-length"])).decode()))
        asked = self.asked.pop(given["code"], None)
        hashed = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
        good = asked is not None and asked["code_challenge"] == challenge and given.get("client_secret") == SECRET
        if asked is None or not good or given["redirect_uri"] != asked["redirect_uri"]:
            handler.send_error(400)
            return
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": asked["nonce"], **self.claims}
        _answer(handler, {"access_token": "x", "token_type": "Bearer", "id_token": self._signed(claims | self.changes)})

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.algorithm == "none":
            parts = ({"alg": "none"}, claims)
            coded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
            return ".".join([*coded, ""])
        if self.algorithm == "HS256":
            return jwt.encode({"alg": "HS256"}, claims, jwk.OctKey.import_key(SECRET))
        key = jwk.RSAKey.generate_key(2048, {"kid": "k"}) if self.other_key else self._key
        return jwt.encode({"alg": self.algorithm, "kid": "k"}, claims, key)


def _answer(handler: http.server.BaseHTTPRequestHandler, said: dict[str, Any]) -> None:
    body = json.dumps(said).encode()
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
