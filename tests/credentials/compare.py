"""Compares google-auth with this build: the same credentials files, the same fakes, the same requests.

`DIFFERENCES` lists what differs, with the reason. The run fails at any other difference, and at one that is listed and is
no longer there. Usage: compare.py PROGRAM FOLDER
"""

import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import google.auth
import google.auth.transport.requests
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import fakes

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ACCOUNT = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/it@acme.iam.gserviceaccount.com"
USER = {
    "type": "authorized_user",
    "client_id": "client",
    "client_secret": "secret",
    "refresh_token": "refresh",
    "token_uri": "https://oauth2.googleapis.com/token",
    "quota_project_id": "payer",
}


def external(source, **more):
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
        **more,
    }


def files(folder):
    """The credentials files, by name."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    (folder / "subject").write_text("subject-of-file")
    (folder / "subject.json").write_text('{"nested": "subject-of-json"}')
    answer = {"version": 1, "success": True, "token_type": "urn:ietf:params:oauth:token-type:jwt"}
    answer |= {"id_token": "subject-of-program", "expiration_time": 4102444800}
    (folder / "program.sh").write_text("#!/bin/sh\necho '" + json.dumps(answer) + "'\n")
    (folder / "program.sh").chmod(0o700)
    as_json = {"type": "json", "subject_token_field_name": "nested"}
    workforce = "//iam.googleapis.com/locations/global/workforcePools/p/providers/q"
    return {
        "a key": {
            "type": "service_account",
            "client_email": "me@acme.iam.gserviceaccount.com",
            "private_key": key,
            "private_key_id": "key-1",
            "project_id": "acme",
            "token_uri": "https://oauth2.googleapis.com/token",
        },
        "a user": USER,
        "an impersonated account": {
            "type": "impersonated_service_account",
            "service_account_impersonation_url": ACCOUNT + ":generateAccessToken",
            "delegates": ["between@acme.iam.gserviceaccount.com"],
            "source_credentials": USER,
        },
        "a file": external({"file": str(folder / "subject")}),
        "a file of JSON": external({"file": str(folder / "subject.json"), "format": as_json}),
        "a URL": external({"url": "https://idp.example/token?a=b", "headers": {"X-Key": "key"}, "format": as_json}),
        "a program": external({"executable": {"command": str(folder / "program.sh"), "timeout_millis": 5000}}),
        "a file, then an account": external(
            {"file": str(folder / "subject")},
            service_account_impersonation_url=ACCOUNT + ":generateAccessToken",
            service_account_impersonation={"token_lifetime_seconds": 1800},
        ),
        "a client of its own": external({"file": str(folder / "subject")}, client_id="client", client_secret="secret"),
        "a workforce pool": external(
            {"file": str(folder / "subject")}, audience=workforce, workforce_pool_user_project="payer"
        ),
        "an external user": {
            "type": "external_account_authorized_user",
            "audience": workforce,
            "client_id": "client",
            "client_secret": "secret",
            "refresh_token": "refresh",
            "token_url": "https://sts.googleapis.com/v1/oauthtoken",
            "token_info_url": "https://sts.googleapis.com/v1/introspect",
        },
        "a metadata server": None,
    }


# What differs, by credentials, and why.
DIFFERENCES = {
    "an impersonated account": {
        'generateAccessToken: delegates: ours ["projects/-/serviceAccounts/between@acme.iam.gserviceaccount.com"], '
        'google\'s ["between@acme.iam.gserviceaccount.com"]': "the API asks for the full name",
    },
    "a file, then an account": {
        f'token: scope: ours "{SCOPE}", google\'s "https://www.googleapis.com/auth/iam"': "both scopes may impersonate",
        "generateAccessToken: delegates: ours [], google's null": "both mean that there are none",
    },
    "a workforce pool": {
        'token: options: ours "{\\"userProject\\":\\"payer\\"}", google\'s "%7B%22userProject%22%3A%20%22payer%22%7D"': (
            "google-auth encodes the JSON once more before the form is encoded"
        ),
    },
    "a metadata server": {
        "only google's: GET metadata:/": "a server that the environment names is not probed",
        "only google's: GET metadata:/computeMetadata/v1/project/project-id": "the flag names the project",
        "only google's: GET metadata:/computeMetadata/v1/instance/service-accounts/default/?recursive=true": (
            "the name of the account is not needed"
        ),
    },
}


def differences_in(ours, googles):
    """Which requests only one has sent, and the fields in which the others differ."""
    ours, googles = ({one.get("request", "the call"): one for one in side} for side in (ours, googles))
    yield from (f"only ours: {name}" for name in ours if name not in googles)
    yield from (f"only google's: {name}" for name in googles if name not in ours)
    for name in ours.keys() & googles.keys():
        one, other = ({**side, **(side.get("body") or {})} for side in (ours[name], googles[name]))
        for field in sorted((one.keys() | other.keys()) - {"body"}):
            if one.get(field) != other.get(field):
                method = name.replace(":", "/").rsplit("/")[-1]
                yield f"{method}: {field}: ours {json.dumps(one.get(field))}, google's {json.dumps(other.get(field))}"


class World:
    """The fakes, and the environment that both are run in."""

    def __init__(self, program, folder):
        self.program, self.folder, self.log = program, folder, fakes.Log()
        fakes.certificates(folder)
        self.proxy = "http://" + fakes.proxy(self.log, folder)
        self.metadata = fakes.metadata_server(self.log)

    def environment(self, file):
        found = {"GOOGLE_APPLICATION_CREDENTIALS": str(file)} if file else {"CLOUDSDK_CONFIG": str(self.folder / "none")}
        # Without it google-auth asks the Resource Manager for the name of a project, which a call does not need.
        found["GOOGLE_CLOUD_PROJECT"] = "acme"
        found |= {"GCE_METADATA_HOST": self.metadata, "GCE_METADATA_IP": self.metadata}
        return found | {"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1", "PATH": os.environ["PATH"]}

    def ours(self, file):
        """What this build asks and shows."""
        line = [self.program, "jobs", "list", "--project=acme", "--region=us-central1", "--proxy=" + self.proxy]
        line.append(f"--ca-file={self.folder / 'ca.pem'}")
        ran = subprocess.run(line, env=self.environment(file), capture_output=True, text=True, timeout=60)
        # The fake service knows nothing.
        assert ran.returncode == 7, ran
        return self.log.take()

    def googles(self, file):
        """What google-auth asks and shows."""
        session = requests.Session()
        session.trust_env = False
        session.proxies, session.verify = {"https": self.proxy}, str(self.folder / "ca.pem")
        request = google.auth.transport.requests.Request(session)
        with mock.patch.dict(os.environ, self.environment(file), clear=True):
            # google-auth reads where the metadata server is when it is imported.
            from google.auth.compute_engine import _metadata

            with mock.patch.object(_metadata, "_GCE_METADATA_HOST", self.metadata, create=True), mock.patch.object(
                _metadata, "_METADATA_ROOT", f"http://{self.metadata}/computeMetadata/v1/", create=True
            ), mock.patch.object(_metadata, "_METADATA_IP_ROOT", f"http://{self.metadata}", create=True):
                credentials, _ = google.auth.default(scopes=[SCOPE], request=request)
                # As Google's clients of gRPC services do.
                if hasattr(credentials, "with_always_use_jwt_access"):
                    credentials = credentials.with_always_use_jwt_access(True)
                    credentials._create_self_signed_jwt(None)
                headers = {}
                credentials.before_request(request, "POST", "https://us-central1-run.googleapis.com/", headers)
        self.log.call(headers)
        return self.log.take()


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    world, wrong = World(program, folder), []
    for name, content in files(folder).items():
        file = folder / "credentials.json" if content else None
        if file:
            file.write_text(json.dumps(content))
            file.chmod(0o600)
        found = {"ours": world.ours(file), "google's": world.googles(file)}
        pairs = zip(found["ours"], found["google's"])
        differences = [one for ours, googles in pairs for one in differences_in(ours, googles)]
        known = DIFFERENCES.get(name, {})
        for difference in differences:
            reason = known.get(difference)
            print(f"{name}: {difference}" + (f"\n    because {reason}" if reason else ""))
            wrong += [] if reason else [f"{name}: not listed: {difference}"]
        wrong += [f"{name}: no longer there: {one}" for one in known if one not in differences]
        asked, called = found["ours"]
        wrong += [] if len(called) == 1 else [f"{name}: the service was called {len(called)} times"]
        wrong += [] if len({one["request"] for one in asked}) == len(asked) else [f"{name}: a request was sent twice"]
        print(f"{name}: {len(asked)} requests, {len(differences)} differences")
    if wrong:
        sys.exit("\n".join(wrong))


main()
