"""What our program and google-auth ask token servers for the same credentials file: the same requests, but for DIFFERENCES.

Knows one server in place of all of Google's token servers. That the tokens are used is tested elsewhere.
"""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest

ROOT = Path(__file__).parents[3]
KEY = (ROOT / "src/auth/tests/key.pem").read_text()
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ANSWER = {
    "access_token": "token", "expires_in": 3600, "token_type": "Bearer", "accessToken": "token",
    "expireTime": "2100-01-01T00:00:00Z", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
}

# What differs, and why it may.
DIFFERENCES = {
    # google-auth asks who the account is before it asks for a token, which no call needs.
    "asks metadata first": ("GET", "/computeMetadata/v1/instance/service-accounts/default/?recursive=true"),
    # google-auth asks the STS for the scope of IAM alone when an account is impersonated with its token. With
    # cloud-platform, which the IAM Credentials API takes as well, one rule holds for every kind.
    "scope of a base": "https://www.googleapis.com/auth/iam",
    # google-auth names its own version, and the kind of credentials, in this header.
    "telemetry": "x-goog-api-client",
    # google-auth sends fields of an exchange that are not set; RFC 8693 has them optional.
    "empty fields": "",
    # Which scopes a refresh token gives is settled when the user signs in; google-auth asks for them once more.
    "scopes of a user": "scope",
    # google-auth takes these for Google's, whatever the file says; the script below tells it otherwise.
    "addresses": ("token_uri of a user", "audience of a key", "service_account_impersonation_url of an account"),
    # google-auth names the key that has signed what another issuer than Google is given; the issuer has one to try.
    "key id": "kid",
    # google-auth encodes this field of the STS twice; Google's library for Go, once.
    "encoded twice": "options",
}

# By the class of the kind, because `google.auth.default` asks Resource Manager for the project of an external account.
GOOGLE_AUTH = """
import json, sys
from google.auth import compute_engine, external_account_authorized_user, iam, identity_pool, impersonated_credentials, pluggable
from google.auth.transport.requests import Request
from google.oauth2 import credentials as user, service_account

path, scope, server = sys.argv[1:]
file = {} if path == "metadata" else json.load(open(path))
scopes = {"scopes": [scope]}
user._GOOGLE_OAUTH2_TOKEN_ENDPOINT = service_account._GOOGLE_OAUTH2_TOKEN_ENDPOINT = server + "/token"
iam._IAM_ENDPOINT = server + "/v1/projects/-/serviceAccounts/{}:generateAccessToken"
if path == "metadata":
    found = compute_engine.Credentials(**scopes)
elif file["type"] == "authorized_user":
    found = user.Credentials.from_authorized_user_info(file, **scopes)
elif file["type"] == "service_account":
    found = service_account.Credentials.from_service_account_info(file, **scopes)
elif file["type"] == "impersonated_service_account":
    found = impersonated_credentials.Credentials.from_impersonated_service_account_info(file, **scopes)
elif file["type"] == "external_account_authorized_user":
    found = external_account_authorized_user.Credentials.from_info(file)
elif "executable" in file["credential_source"]:
    found = pluggable.Credentials.from_info(file, **scopes)
else:
    found = identity_pool.Credentials.from_info(file, **scopes)
found.refresh(Request())
"""


class Server(ThreadingHTTPServer):
    """Answers every request with a token in the words of all servers, and keeps what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path=""):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        self.server.asked.append(meaning(self.command, self.path, self.headers, body))
        answer = {"scopes": [SCOPE], "email": "a@b.c", "aliases": []} if "recursive" in self.path else ANSWER
        text = json.dumps(answer).encode()
        self.send_response(200)
        for name, value in {"content-type": "application/json", "content-length": len(text), "metadata-flavor": "Google"}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def meaning(method, path, headers, body):
    """A request without what differs from one moment to the next, and without DIFFERENCES."""
    kind = (headers.get("content-type") or "").split(";")[0]
    if "x-www-form-urlencoded" in kind:
        fields = {name: value for name, value in parse_qsl(body) if value != DIFFERENCES["empty fields"]}
        if fields.get("scope") == DIFFERENCES["scope of a base"]:
            fields["scope"] = SCOPE
        if fields["grant_type"] == "refresh_token":
            fields.pop(DIFFERENCES["scopes of a user"], None)
        if "assertion" in fields:
            fields["assertion"] = claims(fields["assertion"])
        if DIFFERENCES["encoded twice"] in fields:
            fields["options"] = json.loads(unquote(fields["options"]))
    else:
        fields = {name: value for name, value in json.loads(body).items() if value} if body else None
    shown = {name: headers.get(name) for name in ("authorization", "metadata-flavor", "x-key")}
    return {"method": method, "path": path, "kind": kind if body else "", "headers": shown, "body": fields}


def claims(jwt):
    """The header and the claims of a token, without its times."""
    parts = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in jwt.split(".")[:2]]
    assert parts[1]["exp"] - parts[1]["iat"] in range(3590, 3601)
    left_out = ("exp", "iat", DIFFERENCES["key id"])
    return [{name: value for name, value in part.items() if value and name not in left_out} for part in parts]


def files(server, folder):
    user = {"type": "authorized_user", "client_id": "id", "client_secret": "secret/1", "refresh_token": "refresh 1",
            "token_uri": server.url("/token")}
    key = {"type": "service_account", "client_email": "a@b.c", "private_key": KEY, "private_key_id": "key-1",
           "project_id": "demo", "token_uri": server.url("/token")}
    account = "/v1/projects/-/serviceAccounts/a@b.c:generateAccessToken"
    between = ["projects/-/serviceAccounts/between@b.c"]
    (folder / "text").write_text("subject+1")
    (folder / "json").write_text('{"field":"subject+1"}')
    (folder / "script.sh").write_text(
        'echo \'{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"subject+1",'
        '"expiration_time":4102444800}\'\n')

    def external(source, **more):
        return {"type": "external_account", "token_url": server.url("/v1/token"), "credential_source": source,
                "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", **more}

    in_json = {"type": "json", "subject_token_field_name": "field"}
    in_answer = {"type": "json", "subject_token_field_name": "access_token"}
    by_url = {"url": server.url("/subject"), "headers": {"x-key": "1"}, "format": in_answer}
    program = {"command": f"/bin/sh {folder / 'script.sh'}", "timeout_millis": 5000}
    workforce = {"audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/q",
                 "workforce_pool_user_project": "123"}
    return {
        "authorized_user": user,
        "service_account": key,
        "impersonated": {"type": "impersonated_service_account", "service_account_impersonation_url": server.url(account),
                         "delegates": between, "source_credentials": user},
        "external text": external({"file": str(folder / "text")}),
        "external json": external({"file": str(folder / "json"), "format": in_json}),
        "external url": external(by_url),
        "external program": external({"executable": program}),
        "external client": external({"file": str(folder / "text")}, client_id="id", client_secret="secret"),
        "external workforce": external({"file": str(folder / "text")}, **workforce),
        "external account": external(
            {"file": str(folder / "text")}, service_account_impersonation_url=server.url(account),
            service_account_impersonation={"token_lifetime_seconds": 1800}),
        "external user": {"type": "external_account_authorized_user", "audience": "//iam/x", "client_id": "id",
                          "client_secret": "secret", "refresh_token": "refresh 1", "token_url": server.url("/user")},
    }


KINDS = ["authorized_user", "service_account", "impersonated", "external text", "external json", "external url",
         "external program", "external client", "external workforce", "external account", "external user", "metadata"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_file_makes_the_same_requests(kind, address, tmp_path):
    server = Server()
    environment = os.environ | {"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1", "CLOUDSDK_CONFIG": str(tmp_path),
                                "RUNJOB_TRUSTED_TOKEN_SERVERS": server.url()}
    for name in ("RUN_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK"):
        environment.pop(name, None)
    if kind == "metadata":
        named = kind
        environment |= {"GCE_METADATA_HOST": f"127.0.0.1:{server.server_port}"}
    else:
        named = tmp_path / "file.json"
        named.write_text(json.dumps(files(server, tmp_path)[kind]))
        named.chmod(0o600)
        environment |= {"GOOGLE_APPLICATION_CREDENTIALS": str(named)}

    subprocess.run([sys.executable, "-c", GOOGLE_AUTH, named, SCOPE, server.url()], env=environment, check=True)
    theirs, server.asked = server.asked, []
    line = f"jobs list --project=demo --region=us-central1 --endpoint=http://{address}"
    subprocess.run(["cargo", "run", "--quiet", "--", *line.split()], cwd=ROOT, env=environment, check=True)
    ours = server.asked

    first = DIFFERENCES["asks metadata first"]
    assert ours and ours == [asked for asked in theirs if (asked["method"], asked["path"]) != first]
