"""Starting the service: invalid options, warnings, and errors at start."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import CliRunner

from conftest import REPOSITORY, Run
from democlass.classifier import Classifier
from democlass.cli.serve import app
from democlass.cli.service import ServiceOptions
from democlass.errors import DemoclassError, UsageError
from serving import FORM, ServiceProcess, form_request, header, read_response, run_service, slow_jpeg, wait_until

KEY = "correct horse bättery staple"


@pytest.mark.parametrize("key", ["", "short", f" {KEY}", "0123456789abcdef\r"])
def test_a_key_that_is_too_short_or_not_sendable_is_rejected(key: str) -> None:
    with pytest.raises(UsageError, match=r"^--api-key (has|starts or ends)"):
        ServiceOptions(api_key=key).check()


@pytest.mark.slow
def test_an_empty_key_in_the_environment_is_rejected(classify: Run) -> None:
    result = classify("serve", "--host", "0.0.0.0", env={"DEMOCLASS_API_KEY": ""})
    assert result.returncode == 2 and result.stderr.count(b"\n") == 1
    assert b"DEMOCLASS_API_KEY has 0 characters" in result.stderr


def test_a_service_open_to_other_machines_without_a_key_warns(capsys: pytest.CaptureFixture[str]) -> None:
    ServiceOptions(host="0.0.0.0", port=0).listen().close()
    assert "everyone who can reach 0.0.0.0 can use this service" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["a" * 70, "a..b", "no such host"])
def test_a_host_that_cannot_exist_is_an_error_in_one_line(host: str) -> None:
    with pytest.raises(UsageError, match="can't listen at --host"):
        ServiceOptions(host=host, port=0).listen()


@pytest.mark.parametrize("options", [ServiceOptions(port=0), ServiceOptions(host="0.0.0.0", port=0, api_key=KEY)])
def test_a_local_service_or_one_with_a_key_does_not_warn(
    options: ServiceOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    options.listen().close()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_port_in_use_is_reported_before_the_networks_are_loaded(classify: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = classify("serve", "--port", str(other.getsockname()[1]))
    assert result.returncode == 2 and b"can't listen" in result.stderr and result.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ServiceOptions(max_upload=2000, upload_memory=1000), "--upload-memory 1000 is less than --max-upload 2000"),
        (ServiceOptions(upload_timeout=float("inf")), "--upload-timeout inf"),
        (ServiceOptions(idle_timeout=float("inf")), "--idle-timeout inf"),
    ],
)
def test_invalid_limits_are_rejected(options: ServiceOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options.check()


@pytest.mark.slow
def test_a_missing_extra_is_reported_with_the_command_that_installs_it(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "fastapi.py").write_text("raise ImportError")
    result = classify("serve", env={"PYTHONPATH": f"{tmp_path}:{REPOSITORY / 'src'}"}, cwd=REPOSITORY)
    assert result.returncode == 2 and b"pip install 'democlass[serve]'" in result.stderr


@pytest.mark.slow
def test_networks_that_fail_at_start_end_the_service_with_the_reason(
    tiny: Callable[..., Classifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("no memory left")

    with tiny(isolated=True, workers=1) as classifier:
        monkeypatch.setattr(classifier, "predict", fail)
        monkeypatch.setattr(Classifier, "build", lambda *_, **__: classifier)
        result = CliRunner().invoke(app, ["--port", "0"])
    assert isinstance(result.exception, DemoclassError)
    assert str(result.exception) == "the networks failed, so the service stopped: no memory left"


def is_refused(service: ServiceProcess) -> bool:
    try:
        service.connect().close()
    except OSError:
        return True
    return False


@pytest.mark.slow
def test_second_ctrl_c_answers_requests_in_progress_and_ends_without_a_traceback(tmp_path: Path) -> None:
    with run_service(tmp_path / "log", tiny=True) as service:
        stalled = header("POST", "/predict", FORM, "Content-Length: 900000") + b"--b\r\n"
        with service.connect(stalled) as upload, service.connect(form_request(slow_jpeg())) as decoding:
            wait_until(lambda: service.pending_images() == 1)
            service.process.send_signal(signal.SIGINT)
            wait_until(lambda: is_refused(service))  # the first signal has been handled
            service.process.send_signal(signal.SIGINT)
            for connection in (upload, decoding):
                response = read_response(connection)
                assert (response.status, response.kind) == (503, "stopping")
            assert service.process.wait(60) == 130
        log = service.log.read_text()
    assert "Traceback" not in log and log.count("POST /predict 503") == 2
