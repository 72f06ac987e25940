"""A Remote in a bucket: the contract on a real service and on moto's double, and what only S3 can do to us."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from tests.cluster.certificates import Authority
from tests.contracts.remote import RemoteContract
from tests.contracts.s3_server import S3Server
from toolkit.errors import (
    IntegrityError,
    MissingObjectError,
    RemoteRefusedError,
    RemoteUnavailableError,
    UsageError,
)
from toolkit.sync.remotes.choose import access_key, bucket_of, open_storage
from toolkit.sync.remotes.retrying import RetryingRemote
from toolkit.sync.remotes.s3 import Bucket, Login, S3Remote
from toolkit.sync.task import Storage

_numbers = itertools.count()


@pytest.fixture
def name():
    return f"bucket-{next(_numbers)}"


class TestVersityGateway(RemoteContract):
    @pytest.fixture
    def remote(self, s3_server, name):
        return s3_server.remote(name, "a/prefix")


@pytest.mark.slow
class TestMoto(RemoteContract):
    @pytest.fixture
    def remote(self, moto_server, name):
        # As `open_storage` does it: moto now and then answers 500 while an object is being replaced.
        return RetryingRemote(moto_server.remote(name))


def test_a_storage_with_its_credentials_file_is_opened_and_kept_apart_by_prefix(s3_server, name):
    first = open_storage(s3_server.storage(name, "first"))
    second = open_storage(s3_server.storage(name, "second"))
    first.write("refs/a", b"1")
    assert second.write_new("refs/a", b"2")
    assert [found.key for found in first.list()] == ["refs/a"]
    assert first.read("refs/a") == b"1"
    assert first.url == f"s3://{name}/first"


@pytest.mark.slow
def test_more_than_one_part_goes_up_and_comes_back(s3_server, name):
    remote = s3_server.remote(name)
    data = bytes(range(256)) * (33 * 4096)
    assert len(data) > 32 * 1024 * 1024
    remote.write("packs/large", data)
    assert remote.read("packs/large", limit=len(data)) == data
    assert next(iter(remote.list())).size == len(data)


@pytest.mark.slow
def test_a_listing_goes_on_over_pages(s3_server, name):
    remote = s3_server.remote(name)
    folder = s3_server.folder / "data" / name / "packs"
    folder.mkdir()
    for number in range(1001):
        (folder / f"{number:04}").write_bytes(b"x")
    assert [found.key for found in remote.list("packs/")] == [f"packs/{number:04}" for number in range(1001)]


@pytest.mark.slow
def test_packs_get_the_class_of_the_storage_and_documents_do_not(moto_server, name):
    bucket = moto_server.bucket(name, object_class="STANDARD_IA")
    remote = S3Remote(bucket)
    remote.write_new("packs/a", b"1")
    remote.write("refs/a", b"2")
    remote.write_new("indexes/a", b"3")
    assert _classes(moto_server, name) == {
        ".incoming/if-none-match": "STANDARD",
        "indexes/a": "STANDARD",
        "packs/a": "STANDARD_IA",
        "refs/a": "STANDARD",
    }


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{}, {"start": 0, "length": 1}])
def test_an_object_that_must_be_thawed_is_named_with_its_cure(moto_server, name, asked):
    remote = S3Remote(moto_server.bucket(name, object_class="DEEP_ARCHIVE"))
    remote.write_new("packs/a", b"1")
    with pytest.raises(
        RemoteRefusedError, match="packs/a: it rests in a class that has to be thawed"
    ) as caught:
        remote.read("packs/a", **asked)
    assert "restore-object" in caught.value.hint
    assert not caught.value.retryable


def _classes(server, name):
    listing = server.request("GET", f"/{name}?list-type=2").decode()
    found = re.findall("<Key>(.*?)</Key>.*?<StorageClass>(.*?)</StorageClass>", listing, re.DOTALL)
    return dict(found)


def test_a_wrong_secret_is_refused_with_the_services_words_and_without_the_secret(s3_server, name):
    bucket = replace(s3_server.bucket(name), login=lambda: Login("test-access", "not-the-secret"))
    with pytest.raises(RemoteRefusedError, match="SignatureDoesNotMatch") as caught:
        S3Remote(bucket).read("refs/a")
    assert "not-the-secret" not in str(caught.value)
    assert "access key" in caught.value.hint
    assert not caught.value.retryable


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_named(s3_server, moto_server):
    for server in (s3_server, moto_server):
        bucket = replace(server.bucket("there"), name="not-there")
        for operation in (
            lambda remote: remote.read("refs/a"),
            lambda remote: remote.write("refs/a", b""),
            lambda remote: list(remote.list()),
        ):
            with pytest.raises(RemoteRefusedError, match="s3://not-there: there is no such bucket"):
                operation(S3Remote(bucket))


def test_where_nothing_listens_is_said_in_time(free_port):
    bucket = Bucket(
        name="a", endpoint=f"http://127.0.0.1:{free_port()}", region="x", login=lambda: Login("a", "b")
    )
    with pytest.raises(RemoteUnavailableError) as caught:
        S3Remote(bucket, patience=5).read("refs/a")
    assert caught.value.retryable
    assert "s3://a/refs/a" in str(caught.value)


class _Service(BaseHTTPRequestHandler):
    """A service that does not keep to the rules, as the test says."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.command, self.path, self.headers.get("If-None-Match")))
        self._answer(self.server.put_status, b"")

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        self._answer(self.server.get_status, self.server.body)

    def do_HEAD(self):
        self._answer(403, b"")

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    server.put_status, server.get_status, server.body, server.asked = 200, 200, b"", []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _at(service, **more):
    endpoint = f"http://127.0.0.1:{service.server_port}"
    return S3Remote(Bucket(name="b", endpoint=endpoint, region="x", login=lambda: Login("a", "b"), **more))


def test_a_service_that_ignores_if_none_match_is_refused_before_it_can_lie(service):
    remote = _at(service)
    with pytest.raises(RemoteRefusedError, match="ignores If-None-Match") as caught:
        remote.write_new("refs/lock", b"mine")
    assert "versitygw" in caught.value.hint
    assert [(path, condition) for _, path, condition in service.asked] == [
        ("/b/.incoming/if-none-match", "*"),
        ("/b/.incoming/if-none-match", "*"),
    ]


def test_a_service_that_honours_it_is_asked_once(service):
    service.put_status = 412
    remote = _at(service)
    assert not remote.write_new("refs/a", b"1")
    assert not remote.write_new("refs/b", b"1")
    assert [path for _, path, _ in service.asked] == ["/b/.incoming/if-none-match", "/b/refs/a", "/b/refs/b"]


@pytest.mark.parametrize(
    ("status", "retryable"), [(503, True), (500, True), (409, True), (403, False), (507, False)]
)
def test_what_may_be_asked_again_is_told_from_what_may_not(service, status, retryable):
    service.put_status = status
    with pytest.raises(RemoteUnavailableError) as caught:
        _at(service).write("refs/a", b"1")
    assert caught.value.retryable is retryable
    assert len(service.asked) == 1  # obstore itself repeats nothing


def test_what_a_console_leaves_as_a_folder_does_not_end_a_listing(service):
    service.body = _listing("refs/a-1", "refs/a/", "refs/a/b")
    assert [found.key for found in _at(service).list()] == ["refs/a-1", "refs/a/b"]


def _listing(*keys):
    objects = "".join(
        f"<Contents><Key>{key}</Key><Size>{int(key[-1] != '/')}</Size>"
        "<LastModified>2025-01-01T00:00:00Z</LastModified></Contents>"
        for key in keys
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>".encode()


def test_a_listing_out_of_order_is_refused(service):
    service.body = _listing("refs/b", "refs/a")
    with pytest.raises(IntegrityError, match="does not list its keys in order: refs/a after refs/b"):
        list(_at(service).list())


def test_what_is_not_ours_in_a_bucket_is_passed_over(service):
    service.body = _listing(".incoming/x", "a b", "refs/a", "refs/a%20b", "refs/c")
    assert [found.key for found in _at(service).list("refs/")] == ["refs/a", "refs/c"]


def test_more_than_the_limit_is_refused_before_it_is_fetched(service):
    service.body = bytes(100_000)
    with pytest.raises(IntegrityError, match="100000 bytes to read; at most 1000"):
        _at(service).read("refs/a", limit=1000)


def test_a_service_that_answers_a_part_with_something_else_is_not_believed(service):
    service.body = bytes(1000)  # with status 200: the whole, where a part was wanted
    with pytest.raises(RemoteUnavailableError):
        _at(service).read("refs/a", start=10, length=5)


def test_a_certificate_is_believed_when_its_authority_is_named_and_only_then(tmp_path, s3_server):
    del s3_server  # skips where there is no versitygw
    authority = Authority(tmp_path)
    server = S3Server(tmp_path / "tls", certificate=authority.server("s3"))
    server.start()
    try:
        place = server.storage("over-tls")
        with pytest.raises(RemoteRefusedError, match="its certificate is not believed") as caught:
            open_storage(place)
        assert "ca_file" in caught.value.hint
        remote = open_storage(msgspec.structs.replace(place, ca_file=str(authority.ca)))
        assert remote.write_new("refs/a", b"x")
        assert remote.read("refs/a") == b"x"
    finally:
        server.stop()


def test_without_the_extra_the_line_that_installs_it_is_given():
    tries = (
        "import sys; sys.modules['obstore'] = None\n"
        "from toolkit.errors import MissingExtraError\n"
        "from toolkit.sync.remotes.choose import open_remote\n"
        "try: open_remote('s3://bucket')\n"
        "except MissingExtraError as error: print(error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", tries], capture_output=True, text=True, check=True, timeout=250
    )
    assert done.stdout == "pip install 'tiers[s3]'\n"


# ---------------------------------------------------------------- addresses and logins
def test_plain_http_does_not_leave_the_machine_unless_all_is_encrypted_already():
    with pytest.raises(UsageError, match=r"everybody on the way to s3\.example") as caught:
        S3Remote(Bucket(name="b", endpoint="http://s3.example"))
    assert "https" in caught.value.hint
    S3Remote(Bucket(name="b", endpoint="http://s3.example", plain=True, region="x"))
    S3Remote(Bucket(name="b", endpoint="http://localhost:1", region="x"))


@pytest.mark.parametrize("endpoint", ["ftp://host", "https://user:secret@host", "https://", "host"])
def test_an_endpoint_that_cannot_be_is_refused_and_no_password_is_shown(endpoint):
    with pytest.raises(UsageError, match="cannot be") as caught:
        S3Remote(Bucket(name="b", endpoint=endpoint))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://", "s3:///a", "s3://user@bucket", "s3://bucket:1/a", "s3://b/a?x=1"])
def test_an_address_that_is_more_than_bucket_and_prefix_is_refused(url):
    with pytest.raises(UsageError, match="a bucket and a prefix make the address"):
        bucket_of(Storage(tier="cold", url=url))


def test_a_login_is_read_again_when_its_file_changes(tmp_path):
    file = tmp_path / "login"
    file.write_text("[default]\naws_access_key_id=a\naws_secret_access_key=b%c\naws_session_token=t\n")
    file.chmod(0o600)
    bucket = bucket_of(Storage(tier="cold", url="s3://bucket/x/", credentials_file=str(file)))
    assert (bucket.name, bucket.prefix) == ("bucket", "x")
    found = bucket.login()
    assert (found.access_key, found.secret_key, found.token) == ("a", "b%c", "t")
    file.write_text("[default]\naws_access_key_id=new\naws_secret_access_key=b\n")
    assert bucket.login().access_key == "new"
    assert "b%c" not in repr(found)


def test_a_login_that_others_may_read_is_refused(tmp_path):
    file = tmp_path / "login"
    file.write_text("[default]\naws_access_key_id=a\naws_secret_access_key=b\n")
    file.chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others") as caught:
        bucket_of(Storage(tier="cold", url="s3://bucket", credentials_file=str(file)))
    assert caught.value.hint == f"chmod 600 {file}"


@pytest.mark.parametrize(
    "text", ["", "AKIA:topsecret", "[default]\naws_access_key_id=topsecret\n", "[x]\ntopsecret", "\xff"]
)
def test_a_login_of_another_form_is_refused_and_not_shown(text):
    with pytest.raises(UsageError, match="not of the form") as caught:
        access_key(text.encode("latin-1"), what="login L")
    assert "topsecret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert caught.value.__suppress_context__


def test_a_missing_object_is_missing_and_not_unavailable(s3_server, name):
    with pytest.raises(MissingObjectError, match=f"s3://{name} has no packs/a"):
        s3_server.remote(name).read("packs/a", start=5, length=5)
