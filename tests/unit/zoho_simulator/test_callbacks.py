"""Callbacks: both shapes, copies, retries, early, late and never."""

import time


def create(client, receiver):
    body = {"query": {"module": {"api_name": "Contacts"}}, "callback": receiver.callback}
    answer = client.create(body)
    assert answer.status_code == 201
    return answer.json()["data"][0]["details"]["id"]


def jobs(client):
    return client.get("/__sim__/jobs").json()["jobs"]


def wait_for_attempts(client, count):
    for _ in range(300):
        attempts = jobs(client)[0]["callbacks"]
        if len(attempts) >= count:
            break
        time.sleep(0.01)
    return attempts


def test_documented_shape_is_the_status_answer(client, receiver):
    job = create(client, receiver)
    (body,) = receiver.wait_for(1)
    assert body == client.get(f"/crm/bulk/v8/read/{job}").json()
    assert body["data"][0]["state"] == "COMPLETED"
    assert receiver.types == ["application/json"]
    assert wait_for_attempts(client, 1)[0]["status"] == 200


def test_flat_shape(start, receiver):
    client = start(callback_shape="flat", callback_content_type="text/plain")
    job = create(client, receiver)
    (body,) = receiver.wait_for(1)
    assert body.keys() == {"job_id", "state", "operation", "result"}
    assert (body["job_id"], body["state"]) == (job, "COMPLETED")
    assert body["result"]["download_url"] == f"/crm/bulk/v8/read/{job}/result"
    assert receiver.types == ["text/plain"]


def test_failure_is_called_back_without_a_download(client, receiver):
    client.simulator.fault(method="POST", path="/read$", job={"state": "FAILURE"})
    create(client, receiver)
    (body,) = receiver.wait_for(1)
    assert body["data"][0]["state"] == "FAILURE"
    assert body["data"][0]["result"]["error_message"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "download_url" not in body["data"][0]["result"]


def test_callback_is_repeated_until_it_is_taken(start, receiver):
    client = start(callback_retry_seconds=0.02)
    receiver.statuses = [500, 404]
    create(client, receiver)
    assert len(receiver.wait_for(3)) == 3
    assert [a["status"] for a in wait_for_attempts(client, 3)] == [500, 404, 200]


def test_zoho_gives_up_in_the_end(start, receiver):
    client = start(callback_retry_seconds=0.01, callback_attempts=3)
    receiver.statuses = [500] * 9
    create(client, receiver)
    attempts = wait_for_attempts(client, 4)
    assert len(receiver.bodies) == 3
    assert attempts[-1]["code"] == "CALLBACK_FAILURE"


def test_unreachable_receiver_is_recorded(start):
    client = start(callback_attempts=1, callback_timeout=0.5)
    body = {
        "query": {"module": {"api_name": "Contacts"}},
        "callback": {"url": "http://127.0.0.1:1/x", "method": "post"},
    }
    client.create(body)
    assert "ConnectionRefusedError" in wait_for_attempts(client, 1)[0]["error"]


def test_copies(start, receiver):
    create(start(callback_copies=3), receiver)
    assert len(receiver.wait_for(3)) == 3


def test_never(start, receiver):
    client = start(callback_mode="never")
    job = create(client, receiver)
    client.finish(job)
    assert receiver.wait_for(1, seconds=0.15) == []


def test_early_callback_arrives_before_the_answer(start, receiver):
    client = start(callback_mode="early", in_progress_seconds=60)
    job = create(client, receiver)
    assert receiver.bodies[0]["data"][0]["id"] == job
    assert receiver.bodies[0]["data"][0]["state"] == "COMPLETED"


def test_delayed_callback_comes_after_completion(start, receiver):
    client = start(callback_delay=0.3)
    client.finish(create(client, receiver))
    assert receiver.bodies == []
    assert len(receiver.wait_for(1)) == 1


def test_scripted_callbacks_are_dropped_or_doubled(client, receiver):
    client.simulator.fault(target="callback", path="/cb$", drop=True, nth=1)
    client.simulator.fault(target="callback", path="/cb$", duplicate=1, nth=2)
    create(client, receiver)
    assert wait_for_attempts(client, 1)[0]["dropped"] is True
    create(client, receiver)
    assert len(receiver.wait_for(2)) == 2
