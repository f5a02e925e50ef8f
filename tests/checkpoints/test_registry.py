import functools
import hashlib
import http.server
import subprocess
import sys
import threading

import pytest

from haca3_bids.checkpoints import registry
from haca3_bids.checkpoints.registry import Entry, fetch, fusion_for, resolve
from haca3_bids.errors import CannotCreate, Unavailable

CONTENT = bytes(range(256)) * 5000


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def send_head(self):
        self.server.requests += 1
        return super().send_head()


@pytest.fixture
def server(tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "weights.pt").write_bytes(CONTENT)
    (tmp_path / "www" / "short.pt").write_bytes(CONTENT[:1000])
    handler = functools.partial(Handler, directory=tmp_path / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.requests = 0
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HACA3_HOME", str(tmp_path / "weights"))
    return tmp_path / "weights"


def entry(server, file="weights.pt", **changes):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/{file}"
    fields = {"name": "toy", "kind": "haca3", "url": url, "size_bytes": len(CONTENT), "sha256": sha256}
    return Entry(**(fields | {"variant": None, "description": ""} | changes))


@pytest.fixture
def fetched(server, home, monkeypatch):
    """``fetched("weights.pt")``: fetch a registered file of that name from the server."""

    def fetch_toy(file="weights.pt", **changes):
        monkeypatch.setattr(registry, "RELEASED", {"toy": entry(server, file, **changes)})
        return fetch("toy")

    return fetch_toy


def test_a_file_is_fetched_once_and_kept(fetched, server, home):
    path = fetched()
    assert path.read_bytes() == CONTENT
    assert path.parent == home
    assert fetched() == path
    assert server.requests == 1
    assert list(home.iterdir()) == [path]


def test_a_damaged_copy_is_fetched_again(fetched, server):
    path = fetched()
    path.write_bytes(CONTENT[:-1] + b"x")
    assert fetched().read_bytes() == CONTENT
    assert server.requests == 2


def test_a_wrong_hash_says_what_was_expected_and_found_and_leaves_nothing(fetched, home):
    with pytest.raises(Unavailable, match=r"expected 1280000 bytes with 000.*has changed") as caught:
        fetched(sha256="0" * 64)
    assert hashlib.sha256(CONTENT).hexdigest() in caught.value.sentence
    assert not list(home.iterdir())


def test_a_download_that_broke_off_is_told_apart(fetched, home):
    with pytest.raises(Unavailable, match=r"gave 1000 bytes.*was interrupted"):
        fetched("short.pt")
    assert not list(home.iterdir())


def test_an_address_that_does_not_answer_is_a_sentence_with_a_way_out(fetched, home):
    with pytest.raises(Unavailable, match=f"not found.*copy it to {home}"):
        fetched("gone.pt")
    with pytest.raises(Unavailable, match="cannot be downloaded"):
        fetched(url="http://127.0.0.1:9/weights.pt")


def test_a_home_that_cannot_be_written_is_a_sentence(fetched, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HACA3_HOME", str(tmp_path / "file"))
    with pytest.raises(CannotCreate, match="cannot be written"):
        fetched()


def test_names_and_files_resolve(home, tmp_path, monkeypatch):
    file = tmp_path / "mine.pt"
    file.touch()
    assert resolve(file) == file
    entries = registry.RELEASED
    monkeypatch.setattr(registry, "fetch", lambda name: home / name)
    assert resolve("haca3plus") == home / "haca3plus"
    assert resolve("fusion", "fusion") == home / "fusion"
    with pytest.raises(Unavailable, match=r"fusion contains fusion weights.*builtin, haca3, haca3plus"):
        resolve("fusion")
    with pytest.raises(Unavailable, match=f"one of the names builtin, {', '.join(entries)}"):
        resolve("haca4")
    monkeypatch.setattr(registry, "BUILTIN_DIR", tmp_path)
    with pytest.raises(Unavailable, match="no built-in fusion network"):
        resolve("builtin", "fusion")
    with pytest.raises(Unavailable, match="The built-in weights"):
        resolve("builtin")
    (tmp_path / "mixture.safetensors").touch()
    assert resolve("builtin") == tmp_path / "mixture.safetensors"


def test_the_authors_fusion_network_goes_with_their_weights_unless_told_otherwise():
    assert fusion_for("haca3", "auto") == fusion_for("haca3plus", "auto") == "fusion"
    assert fusion_for("builtin", "auto") == fusion_for("a/file.pt", "auto") == "median"
    assert fusion_for("haca3", "median") == "median"


def test_unknown_names_are_refused(home):
    with pytest.raises(Unavailable, match="No weights are called haca4"):
        fetch("haca4")


def test_weights_live_in_the_cache_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("HACA3_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert registry.weights_home() == tmp_path / ".cache" / "haca3"


def test_every_hash_is_a_sha256_and_no_two_are_alike():
    hashes = {one.sha256 for one in registry.RELEASED.values()}
    assert len(hashes) == len(registry.RELEASED)
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in hashes)
    assert registry.find_by_hash(registry.RELEASED["haca3"].sha256).name == "haca3"


def test_the_registry_needs_no_torch():
    code = "import sys, haca3_bids.checkpoints.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
