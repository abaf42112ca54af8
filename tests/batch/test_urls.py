import posixpath
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.batch.urls import check_source_url, check_store_url, safe_join


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("/data/farm", "file:///data/farm"),
        ("/data//farm/./x/", "file:///data/farm/x"),
        ("file:///data/farm/", "file:///data/farm"),
        ("file://localhost/data", "file:///data"),
        ("/", "file:///"),
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("S3://bucket", "s3://bucket"),
        ("gs://my_bucket/a//b", "gs://my_bucket/a/b"),
        ("az://container/a", "az://container/a"),
        ("memory://farm", "memory://farm"),
        ("memory://", "memory://"),
    ],
)
def test_a_store_has_one_normal_url(url, normal):
    assert check_store_url(url) == normal
    assert check_store_url(normal) == normal


def test_a_relative_path_starts_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert check_store_url("farm") == f"file://{tmp_path}/farm"
    assert check_store_url("./farm") == f"file://{tmp_path}/farm"
    assert check_store_url("~/farm") == f"file://{tmp_path}/home/farm"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "empty"),
        (" /data", "blanks"),
        ("http://example.org/x", "http: is not a place"),
        ("https://169.254.169.254/latest", "https: is not a place"),
        ("zip://a.zip", "zip: is not a place"),
        ("simplecache::s3://bucket/x", "chains"),
        ("s3://bucket/x::file:///etc", "chains"),
        ("s3://key:secret@bucket/x", "credentials"),
        ("az://container@account.blob.core.windows.net/x", "credentials"),
        ("s3://169.254.169.254/latest/meta-data", "network address"),
        ("s3://2852039166/x", "network address"),
        ("s3://0xa9fea9fe/x", "network address"),
        ("gs://metadata.google.internal/x", "network address"),
        ("s3://[fd00:ec2:0:0:0:0:0:254]/x", "network address"),
        ("s3://localhost/x", "network address"),
        ("s3://bucket:9000/x", "port"),
        ("s3://", "no bucket"),
        ("s3:///x/y", "is not a bucket name"),
        ("s3://Bucket/x", "is not a bucket name"),
        ("s3://bucket/../other", "climbs"),
        ("s3://bucket/a?versionId=1", "query"),
        ("s3://bucket/%2e%2e/x", "percent"),
        ("s3:/bucket", "two slashes"),
        ("../other", "climbs"),
        ("file:///data/../etc", "climbs"),
        ("file://host/share", "machine"),
        ("file://", "machine"),
        ("file:relative", "two slashes"),
        ("://x", "no scheme"),
        ("C:\\farm", "backslash"),
        ("/data\n/x", "control"),
        ("/data\x00", "control"),
    ],
)
def test_what_is_no_store_is_refused_with_the_reason(url, words):
    with pytest.raises(ValueError, match=words):
        check_store_url(url)


@given(st.text("abAB01.-_/:@?#%~\\ ", max_size=30))
def test_normalising_twice_changes_nothing(url):
    try:
        normal = check_store_url(url)
    except ValueError:
        return
    assert check_store_url(normal) == normal
    assert ".." not in normal.split("/")
    assert normal.split("://")[0] in {"file", "s3", "gs", "az", "memory"}


def test_fsspec_opens_the_normal_form_where_it_says(tmp_path):
    (tmp_path / "with blank").mkdir()

    filesystem, path = fsspec.url_to_fs(check_store_url(str(tmp_path / "with blank")))

    assert path == str(tmp_path / "with blank")
    assert filesystem.isdir(path)


def test_sources_may_lie_beside_the_batch():
    assert check_source_url("plates/sea.png") == "plates/sea.png"
    with pytest.raises(ValueError, match="climbs"):
        check_source_url("plates/../../sea.png")


@given(st.text("ab./\\:~\x00\n", max_size=12))
def test_a_joined_path_never_leaves_its_root(relative):
    try:
        joined = safe_join("/store/root", relative)
    except ValueError:
        return
    assert posixpath.normpath(joined) == joined
    assert joined.startswith("/store/root/")


@pytest.mark.parametrize(
    "relative", ["", "/etc", "..", "a/../b", "./a", "a//b", "a/", "a\\b", "a\x00", "~/a", "C:/a", "s3://x/y", "a\nb"]
)
def test_a_path_that_is_not_plainly_inside_is_refused(relative):
    with pytest.raises(ValueError, match=r"store"):
        safe_join("s3://bucket/farm", relative)


def test_paths_join_to_urls_and_folders():
    assert safe_join("s3://bucket/farm/", "log/00000001.parquet") == "s3://bucket/farm/log/00000001.parquet"
    assert safe_join(Path("/data/farm"), "media/ab/x.png") == "/data/farm/media/ab/x.png"
