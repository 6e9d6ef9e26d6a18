"""All of Google on loopback: a proxy behind which every host is answered here, and a metadata server.

Both note what they are asked. The proxy has a certificate of an authority made for the run, and speaks HTTP/1.1 to clients
of token servers and HTTP/2 to clients of the service.
"""

import base64
import datetime
import json
import socket
import ssl
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import h2.config
import h2.connection
import h2.events
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOSTS = [
    "oauth2.googleapis.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
    "us-central1-run.googleapis.com",
    "idp.example",
]


def certificates(folder):
    """Writes `ca.pem` and `server.pem`, the second for all hosts, with its key."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(name, key, issuer, issuer_key, names=None):
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    authority = certificate("authority", authority_key, authority_name, authority_key)
    server = certificate("server", key, authority_name, authority_key, HOSTS)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    own = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(server.public_bytes(pem) + own)


def jwt(text):
    """A JWT as its header and claims, without what the clock decides."""
    parts = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in text.split(".")[:2]]
    parts[1] = {name: value for name, value in parts[1].items() if name not in ("iat", "exp")}
    return parts


def shown(authorization):
    """An `authorization` header, with a JWT taken apart."""
    scheme, _, token = authorization.partition(" ")
    return [scheme, jwt(token)] if token.startswith("eyJ") else authorization


def body_of(content_type, body):
    """A body, with the order of fields and the spelling of JSON left out."""
    if content_type == "application/x-www-form-urlencoded":
        return dict(urllib.parse.parse_qsl(body.decode()))
    return json.loads(body) if body else None


def answer_to(host, path):
    """What the server of this name answers."""
    if host == "iamcredentials.googleapis.com":
        return {"accessToken": "token-of-account", "expireTime": "2100-01-01T00:00:00Z"}
    if host == "idp.example":
        return {"nested": "subject-of-url"}
    if host == "sts.googleapis.com":
        kind = "urn:ietf:params:oauth:token-type:access_token"
        return {"access_token": "token-of-sts", "issued_token_type": kind, "token_type": "Bearer", "expires_in": 3600}
    return {"access_token": "token-of-user", "token_type": "Bearer", "expires_in": 3600}


class Log:
    """What was asked, by whom."""

    def __init__(self):
        self.lock, self.requests, self.calls = threading.Lock(), [], []

    def request(self, method, url, headers, body):
        content_type = headers.get("content-type")
        noted = {"request": f"{method} {url}", "body": body_of(content_type, body)}
        for name in ("content-type", "metadata-flavor", "x-key"):
            if headers.get(name):
                noted[name] = headers[name]
        if headers.get("authorization"):
            noted["authorization"] = shown(headers["authorization"])
        with self.lock:
            self.requests.append(noted)

    def call(self, headers):
        noted = {"authorization": shown(headers.get("authorization", ""))}
        if "x-goog-user-project" in headers:
            noted["x-goog-user-project"] = headers["x-goog-user-project"]
        with self.lock:
            self.calls.append(noted)

    def take(self):
        with self.lock:
            requests, calls = self.requests, self.calls
            self.requests, self.calls = [], []
        return requests, calls


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log = None
    host = None

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = f"https://{self.host}{self.path}" if self.host else f"metadata:{self.path}"
        self.log.request(self.command, url, self.headers, body)
        text, kind = json.dumps(answer_to(self.host, self.path)), "application/json"
        if not self.host:
            text, kind = metadata(self.path)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET

    def log_message(self, *_):
        pass


def metadata(path):
    """What the metadata server answers: its media type decides how google-auth reads it."""
    if "/token" in path:
        token = {"access_token": "token-of-machine", "expires_in": 3600, "token_type": "Bearer"}
        return json.dumps(token), "application/json"
    if "recursive=true" in path:
        account = {"email": "machine@acme.iam.gserviceaccount.com", "scopes": [], "aliases": ["default"]}
        return json.dumps(account), "application/json"
    return "googleapis.com", "text/plain"


def metadata_server(log):
    """Starts a metadata server and returns its address."""
    handler = type("Metadata", (Handler,), {"log": log})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


def proxy(log, folder):
    """Starts the proxy and returns its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            near, address = listener.accept()
            threading.Thread(target=serve, args=(log, context, near, address), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return "127.0.0.1:%d" % listener.getsockname()[1]


def serve(log, context, near, address):
    """One tunnel: what is spoken in it depends on what the client offers."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += near.recv(4096)
    host = head.split(b" ")[1].decode().rpartition(":")[0]
    near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        near = context.wrap_socket(near, server_side=True)
        if near.selected_alpn_protocol() == "h2":
            cloud_run(log, near)
        else:
            type("Google", (Handler,), {"log": log, "host": host})(near, address, None)
    except (OSError, ssl.SSLError):
        pass  # The client has left.


def cloud_run(log, near):
    """Notes each call, and answers it with NOT_FOUND."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    near.sendall(connection.data_to_send())
    while data := near.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                log.call(dict(event.headers))
            if isinstance(event, h2.events.StreamEnded):
                answer = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")]
                connection.send_headers(event.stream_id, answer, end_stream=True)
        near.sendall(connection.data_to_send())
