"""What `make build` adds to and removes from the packages, and what it refuses."""

import gzip
import json
import py_compile
import shutil
from pathlib import Path

import botocore
import pytest
from botocore.session import Session

from crm_export.wiring import SERVICES
from local.host.processes import REPOSITORY
from local.package import IncompletePackageError, check, finish, trim

OURS = Path(botocore.__file__).parent / "data"
PARTITIONS = {"us-east-1", "eu-central-1", "ap-south-2", "cn-north-1", "us-gov-west-1", "us-iso-east-1"}


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory):
    """A copy of botocore's data, trimmed; two services that no function calls were in it."""
    data = tmp_path_factory.mktemp("layer") / "python/botocore/data"
    data.mkdir(parents=True)
    for path in OURS.iterdir():
        if path.is_file():
            shutil.copy(path, data)
    for service in (*SERVICES, "ec2", "sts"):
        shutil.copytree(OURS / service, data / service)
    trim(data)
    return data


@pytest.fixture(scope="module")
def sessions(trimmed):
    """A session with the trimmed data, and one with all of it; each reads a file once."""
    ours, full = Session(), Session()
    ours.get_component("data_loader").search_paths[:] = [str(trimmed)]
    return ours, full


def client(session, service, region):
    return session.create_client(
        service, region_name=region, aws_access_key_id="test", aws_secret_access_key="test"
    )


def test_only_services_that_functions_call_stay(trimmed):
    assert {path.name for path in trimmed.iterdir() if path.is_dir()} == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_client_has_the_same_api_and_endpoint_as_with_all_data(sessions, service):
    for region in PARTITIONS:
        ours, full = (client(session, service, region) for session in sessions)
        assert ours.meta.endpoint_url == full.meta.endpoint_url
        assert ours.meta.service_model.operation_names == full.meta.service_model.operation_names
        assert ours.meta.service_model.api_version == full.meta.service_model.api_version


def test_member_of_a_shape_that_is_called_documentation_stays(tmp_path):
    data = tmp_path / "data"
    folder = data / "sqs" / "2012-11-05"
    folder.mkdir(parents=True)
    member = {"documentation": {"shape": "Text", "documentation": "removed"}}
    (folder / "service-2.json.gz").write_bytes(gzip.compress(json.dumps({"members": member}).encode()))
    (data / "endpoints.json").write_text(json.dumps({"partitions": []}))
    trim(data)
    stored = json.loads(gzip.decompress((folder / "service-2.json.gz").read_bytes()))
    assert stored == {"members": {"documentation": {"shape": "Text", "documentation": ""}}}


@pytest.mark.parametrize("service", SERVICES)
def test_model_of_a_service_is_the_same_without_its_documentation(trimmed, service):
    (ours,) = (trimmed / service).glob("*/service-2.json.gz")
    full = OURS / ours.relative_to(trimmed)
    assert without_documentation(read(ours)) == without_documentation(read(full))
    assert len(ours.read_bytes()) < len(full.read_bytes()) / 2


def read(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def without_documentation(node):
    if isinstance(node, dict):
        texts = {name for name, value in node.items() if name == "documentation" and isinstance(value, str)}
        return {name: "" if name in texts else without_documentation(value) for name, value in node.items()}
    return [without_documentation(item) for item in node] if isinstance(node, list) else node


def test_trimming_again_changes_nothing(trimmed):
    before = {path: path.read_bytes() for path in trimmed.glob("**/*.json*")}
    trim(trimmed)
    assert {path: path.read_bytes() for path in trimmed.glob("**/*.json*")} == before


# --- the check of a whole package ---


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A build folder with a layer and a function, as `make build` leaves it."""
    build = tmp_path_factory.mktemp("build")
    packages = Path(botocore.__file__).parent.parent
    python = build / "DependenciesLayer/python"
    shutil.copytree(packages / "botocore", python / "botocore", ignore=not_needed)
    shutil.copytree(REPOSITORY / "layers/crm_export", build / "CrmExportLayer", ignore=not_needed)
    for name in ("boto3", "dateutil", "jmespath", "s3transfer", "urllib3"):
        shutil.copytree(packages / name, python / name, ignore=not_needed)
    shutil.copy(packages / "six.py", python)
    (build / "Worker").mkdir()
    (build / "Worker/app.py").write_text("def lambda_handler(event, context): ...\n")
    finish(build)
    return build


def not_needed(folder, names):
    """Leave out bytecode, and the data of 400 services, which take long to copy."""
    kept = {*SERVICES, "ec2"}
    is_data = Path(folder).name == "data"
    return [
        name
        for name in names
        if name == "__pycache__" or (is_data and (Path(folder) / name).is_dir() and name not in kept)
    ]


@pytest.fixture
def restored(finished):
    """Return a function that removes a file for the time of a test."""
    removed = {}

    def remove(path):
        removed[path] = path.read_bytes()
        path.unlink()
        return path

    yield remove
    for path, content in removed.items():
        path.write_bytes(content)


@pytest.mark.process
def test_finished_package_is_complete(finished):
    check(finished)


@pytest.mark.process
def test_module_without_bytecode_is_refused(finished, restored):
    restored(next(finished.glob("Worker/__pycache__/app.*.pyc")))
    with pytest.raises(IncompletePackageError, match=r"1 modules have no bytecode.*Worker/app\.py"):
        check(finished)


@pytest.mark.process
def test_bytecode_that_lambda_would_compare_with_the_file_time_is_refused(finished, restored):
    compiled = next(finished.glob("Worker/__pycache__/app.*.pyc"))
    restored(compiled)
    py_compile.compile(
        str(finished / "Worker/app.py"), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP
    )
    with pytest.raises(IncompletePackageError, match="no bytecode that Lambda would use"):
        check(finished)


@pytest.mark.process
def test_service_that_the_layer_lacks_is_refused_with_what_to_do(finished, restored):
    restored(next(finished.glob("**/data/sqs/*/service-2.json.gz")))
    with pytest.raises(IncompletePackageError, match=r"sqs[\s\S]*remove \.aws-sam, and build again"):
        check(finished)


@pytest.mark.process
def test_data_of_another_service_are_refused(finished):
    extra = next(finished.glob("**/botocore/data")) / "ec2"
    extra.mkdir()
    with pytest.raises(IncompletePackageError, match=r"no function calls: \['ec2'\]"):
        check(finished)
    extra.rmdir()


def test_package_without_botocore_is_refused(tmp_path):
    with pytest.raises(IncompletePackageError, match="botocore is 0 times"):
        check(tmp_path)
