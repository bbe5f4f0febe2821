"""A Hugging Face Hub on the loopback interface: enough HTTP for huggingface_hub, in memory, and able to misbehave.

Repositories (models, datasets, Spaces) with branches, tags, private ones and tokens; commits with regular files and
with Git LFS (no xet); file trees; downloads by HEAD, GET and ranges, large files by a redirect to another host name.
"""

import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN, USER = "hf_loopbacktokenthatmustneverbeprinted", "tester"
PREFIX = "difiqa-test-"  # of the names of all repositories that tests make
LFS_SUFFIXES = (".safetensors", ".bin", ".parquet")
PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
KINDS = {prefix: kind for kind, prefix in PREFIXES.items()}


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class File:
    content: bytes
    lfs: bool
    announced: str | None = None  # a hash that is not the content's, for a repository that lies

    @property
    def oid(self) -> str:
        return self.announced or (hashlib.sha256(self.content).hexdigest() if self.lfs else git_sha1(self.content))

    def entry(self, path: str) -> dict:
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": git_sha1(self.content)}
        if self.lfs:
            return entry | {"lfs": {"oid": self.oid, "size": len(self.content), "pointerSize": 134}}
        return entry | {"oid": self.oid}


@dataclass
class Repository:
    private: bool = False
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, File], branch: str = "main") -> str:
        names = repr([(path, file.oid) for path, file in sorted(files.items())])
        commit = hashlib.sha1(f"{len(self.commits)} {names}".encode()).hexdigest()
        self.commits[commit], self.refs[branch] = dict(files), commit
        return commit

    def at(self, revision: str) -> str | None:
        return self.refs.get(revision) or (revision if revision in self.commits else None)

    @property
    def files(self) -> dict[str, File]:
        return self.commits[self.refs["main"]]


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose method and path match."""

    path: str
    kind: str  # "error", "slow" body, or after half of it the connection: "cut" (ends), "reset", "stall" (silent)
    method: str = "GET"
    times: int = 1
    status: int = 500


class LoopbackHub:
    """The server; use it as a context. `log` has a (method, path, range, authorised) per request."""

    def __init__(self):
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.lfs: dict[str, bytes] = {}
        self.log: list[tuple[str, str, str, bool]] = []
        self.faults: list[Fault] = []
        self.token, self.namespace = TOKEN, USER
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads, self._server.hub = True, self
        self.lock = threading.RLock()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()

    def repository(self, repo_id: str, kind: str = "model") -> Repository:
        return self.repositories[kind, repo_id]

    def put(self, repo_id: str, files: dict[str, bytes | File], kind: str = "model") -> str:
        """A repository, or a further commit, past all checks: for content that a well-meaning client never uploads."""
        repository = self.repositories.setdefault((kind, repo_id), Repository())
        entries = {p: f if isinstance(f, File) else File(f, p.endswith(LFS_SUFFIXES)) for p, f in files.items()}
        self.lfs |= {file.oid: file.content for file in entries.values() if file.lfs}
        old = repository.files if repository.refs else {}
        return repository.commit(old | entries)

    def sent(self, start: int = 0) -> list[str]:
        """What clients changed since entry `start` of the log: "PUT" for a large file, "commit"."""
        changes = [entry for entry in self.log[start:] if entry[0] == "PUT" or "/commit/" in entry[1]]
        return ["PUT" if method == "PUT" else "commit" for method, *_ in changes]

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.method == method and fault.times and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def handle_any(self):
        self.hub, url = self.server.hub, urlsplit(self.path)
        self.query, path = parse_qs(url.query), unquote(url.path)
        body = self.read_body()
        self.user = USER if self.headers.get("Authorization") == f"Bearer {TOKEN}" else None
        entry = (self.command, path, self.headers.get("Range") or "", self.headers.get("Authorization") is not None)
        self.hub.log.append(entry)
        self.trouble = self.hub.fault(self.command, path)
        if self.trouble and self.trouble.kind == "error":
            return self.reply(self.trouble.status, {"error": "injected fault"})
        for pattern, handler in ROUTES:
            if match := re.fullmatch(pattern, path):
                with self.hub.lock:
                    answer = handler(self, body, *match.groups())
                return self.reply(*answer[:2], **(answer[2] if len(answer) > 2 else {}))
        return self.reply(404, {"error": f"no route for {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def reply(self, status: int, body, **headers):
        if isinstance(body, bytes):
            headers.setdefault("Content-Type", "application/octet-stream")
        else:
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_body(body)

    def send_body(self, body: bytes):
        kind = self.trouble.kind if self.trouble else None
        if kind == "slow":
            for start in range(0, len(body), max(1, len(body) // 8)):
                self.wfile.write(body[start : start + max(1, len(body) // 8)])
                time.sleep(0.05)
        elif kind in ("cut", "reset", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if kind == "stall":
                time.sleep(5)
            self.close_connection = True
            if kind == "cut":
                self.connection.shutdown(socket.SHUT_RDWR)
            else:  # closed without lingering, that is by RST
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
        else:
            self.wfile.write(body)

    def find(self, prefix: str | None, repo_id: str) -> Repository | None:
        repository = self.hub.repositories.get((KINDS[prefix or ""], repo_id))
        return None if repository is None or (repository.private and not self.user) else repository

    def absent(self, code: str, **headers):
        status = 401 if code == "RepoNotFound" and not self.user else 404
        return status, {"error": code}, {"X_Error_Code": code, "X_Error_Message": code, **headers}

    # ---- one method per route; each returns status, body and headers

    def whoami(self, body):
        if not self.user:
            return 401, {"error": "Invalid credentials"}
        access = {"type": "access_token", "accessToken": {"role": "write", "displayName": "loopback"}}
        return 200, {"name": USER, "type": "user", "orgs": [], "auth": access}

    def validate_yaml(self, body):
        return 200, {"errors": [], "warnings": []}

    def create(self, body):
        if not self.user:
            return 401, {"error": "Unauthorized"}
        asked = json.loads(body)
        kind, repo_id = asked.get("type") or "model", f"{asked.get('organization') or USER}/{asked['name']}"
        url = f"{self.hub.endpoint}/{PREFIXES[kind]}{repo_id}"
        if (kind, repo_id) in self.hub.repositories:
            return 409, {"error": "You already created this repo", "url": url}
        repository = Repository(bool(asked.get("private")) or asked.get("visibility") == "private")
        repository.commit({".gitattributes": File(b"*.safetensors filter=lfs\n", False)})
        self.hub.repositories[kind, repo_id] = repository
        return 200, {"url": url, "name": repo_id, "id": repo_id}

    def lfs_batch(self, body, prefix, repo_id):
        objects = []
        for item in json.loads(body)["objects"]:
            href, entry = f"{self.hub.endpoint}/_lfs/{item['oid']}", {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.lfs:
                entry["actions"] = {"upload": {"href": href}, "verify": {"href": href}}
            objects.append(entry)
        return 200, {"transfer": "basic", "objects": objects}, {"Content_Type": "application/vnd.git-lfs+json"}

    def lfs_object(self, body, oid):
        if self.command == "PUT":
            if hashlib.sha256(body).hexdigest() != oid:
                return 400, {"error": "the content has another hash"}
            self.hub.lfs[oid] = body
            return 200, {}
        if self.command == "POST":
            return (200 if oid in self.hub.lfs else 404), {}
        return self.ranged(self.hub.lfs[oid])

    def resolve(self, body, prefix, repo_id, revision, path):
        repository = self.find(prefix, repo_id)
        if repository is None:
            return self.absent("RepoNotFound")
        commit = repository.at(revision)
        if commit is None:
            return self.absent("RevisionNotFound")
        file = repository.commits[commit].get(path)
        if file is None:
            return self.absent("EntryNotFound", X_Repo_Commit=commit)
        headers = {"X_Repo_Commit": commit, "ETag": f'"{file.oid}"'}
        if not file.lfs:
            return self.ranged(file.content, **headers)
        headers |= {"X_Linked_Etag": f'"{file.oid}"', "X_Linked_Size": str(len(file.content))}
        elsewhere = self.hub.endpoint.replace("127.0.0.1", "localhost")  # another host must not see the token
        return 302, b"", headers | {"Location": f"{elsewhere}/_lfs/{file.oid}"}

    def ranged(self, content: bytes, **headers):
        headers |= {"Accept_Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            low, high = int(match[1]), min(int(match[2] or len(content) - 1), len(content) - 1)
            return 206, content[low : high + 1], headers | {"Content_Range": f"bytes {low}-{high}/{len(content)}"}
        return 200, content, headers

    def api(self, body, kind, repo_id, verb, revision, path):
        repository, revision = self.find(PREFIXES[kind], repo_id), revision or "main"
        if repository is None:
            return self.absent("RepoNotFound")
        if verb == "refs":
            branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in repository.refs.items()]
            return 200, {"branches": branches, "tags": [], "converts": [], "pullRequests": []}
        if verb in ("branch", "tag") and self.command == "POST":
            name = revision if verb == "branch" else json.loads(body)["tag"]
            if name in repository.refs:
                return 409, {"error": "Reference already exists"}
            repository.refs[name] = repository.refs["main"]
            return 200, {}
        commit = repository.at(revision)
        if commit is None:
            return self.absent("RevisionNotFound")
        files = repository.commits[commit]
        if verb == "preupload":
            asked = json.loads(body)["files"]
            mode = {f["path"]: "lfs" if f["path"].endswith(LFS_SUFFIXES) else "regular" for f in asked}
            return 200, {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in mode.items()]}
        if verb == "commit":
            url = f"{self.hub.endpoint}/{PREFIXES[kind]}{repo_id}"
            return self.commit(body, repository, revision, dict(files), url)
        if verb == "paths-info":
            asked = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
            return 200, [files[p].entry(p) for p in asked["paths"] if p in files]
        if verb == "tree":
            return 200, list(self.tree(files, path or ""))
        information = {"_id": "0", "id": repo_id, "modelId": repo_id, "sha": commit, "private": repository.private}
        information |= {"disabled": False, "gated": False, "downloads": 0, "likes": 0, "tags": []}
        information |= {"lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z"}
        return 200, information | {"siblings": [{"rfilename": name} for name in sorted(files)]}

    def commit(self, body, repository, branch, files, url):
        if not self.user:
            return 401, {"error": "Unauthorized"}
        for line in body.splitlines():
            key, value = (item := json.loads(line))["key"], item["value"]
            if key == "file":
                files[value["path"]] = File(base64.b64decode(value["content"]), False)
            elif key == "lfsFile":
                if value["oid"] not in self.hub.lfs:
                    return 400, {"error": "LFS object missing"}
                files[value["path"]] = File(self.hub.lfs[value["oid"]], True)
            elif key == "deletedFile":
                files.pop(value["path"])
        commit = repository.commit(files, branch)
        return 200, {"success": True, "commitOid": commit, "commitUrl": f"{url}/commit/{commit}"}

    def tree(self, files, folder: str):
        recursive = self.query.get("recursive", ["false"])[0].lower() == "true"
        folders = set()
        for path, file in sorted(files.items()):
            rest = path.removeprefix(f"{folder}/" if folder else "")
            if folder and rest == path:
                continue
            if recursive or "/" not in rest:
                yield file.entry(path)
            parent = rest.partition("/")[0] if "/" in rest else ""
            if parent and parent not in folders:
                folders.add(parent)
                yield {"type": "directory", "path": f"{folder}/{parent}".strip("/"), "oid": "0" * 40, "size": 0}


REPO = r"(datasets/|spaces/)?([^/]+/[^/]+)"
ROUTES = [
    (r"/api/whoami-v2", Handler.whoami),
    (r"/api/validate-yaml", Handler.validate_yaml),
    (r"/api/repos/create", Handler.create),
    (rf"/{REPO}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (r"/_lfs/([0-9a-f]{64})", Handler.lfs_object),
    (rf"/{REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
    (
        r"/api/(model|dataset|space)s/([^/]+/[^/]+)"
        r"(?:/(revision|tree|paths-info|preupload|commit|refs|tag|branch)(?:/([^/]+)(?:/(.*))?)?)?",
        Handler.api,
    ),
]  # fmt: skip
