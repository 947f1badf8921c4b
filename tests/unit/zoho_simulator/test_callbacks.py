"""Callbacks: both shapes, copies, retries, early, late and never."""


def create(client, receiver):
    body = {"query": {"module": {"api_name": "Contacts"}}, "callback": receiver.callback}
    response = client.create(body)
    assert response.status_code == 201
    client.clock.advance(0)
    return response.json()["data"][0]["details"]["id"]


def attempts(client):
    return client.get("/__sim__/jobs").json()["jobs"][-1]["callbacks"]


def test_callback_body_is_the_job_details(client, receiver):
    job = create(client, receiver)
    assert receiver.bodies == [client.get(f"/crm/bulk/v8/read/{job}").json()]
    assert receiver.bodies[0]["data"][0]["state"] == "COMPLETED"
    assert receiver.types == ["application/json"]
    assert attempts(client) == [{"attempt": 1, "time": client.clock.now, "status": 200}]


def test_callback_in_flat_shape_has_job_id_state_and_result(start, receiver):
    client = start(callback_shape="flat", callback_content_type="text/plain")
    job = create(client, receiver)
    (body,) = receiver.bodies
    assert body.keys() == {"job_id", "state", "operation", "result"}
    assert (body["job_id"], body["state"]) == (job, "COMPLETED")
    assert body["result"]["download_url"] == f"/crm/bulk/v8/read/{job}/result"
    assert receiver.types == ["text/plain"]


def test_callback_of_failed_job_has_no_download_url(client, receiver):
    client.fault(method="POST", path="/read$", job={"state": "FAILURE"})
    create(client, receiver)
    (body,) = receiver.bodies
    assert body["data"][0]["state"] == "FAILURE"
    assert body["data"][0]["result"]["error_message"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "download_url" not in body["data"][0]["result"]


def test_callback_is_retried_until_success(start, receiver):
    client = start(callback_retry_seconds=2)
    receiver.statuses = [500, ConnectionRefusedError("refused")]
    create(client, receiver)
    client.clock.advance(1)
    assert len(attempts(client)) == 1
    client.clock.advance(60)
    assert [a.get("status") for a in attempts(client)] == [500, None, 200]
    assert attempts(client)[1]["error"] == "ConnectionRefusedError: refused"


def test_callback_is_given_up_after_the_last_attempt(start, receiver):
    client = start(callback_attempts=3)
    receiver.statuses = [500] * 9
    create(client, receiver)
    client.clock.advance(60)
    assert len(receiver.bodies) == 3
    assert attempts(client)[-1]["code"] == "CALLBACK_FAILURE"
    assert attempts(client)[-1]["message"] == "Callback failed after 3 attempts."


def test_callback_copies_are_all_posted(start, receiver):
    create(start(callback_copies=3), receiver)
    assert len(receiver.bodies) == 3


def test_callback_mode_never_posts_nothing(start, receiver):
    client = start(callback_mode="never")
    client.finish(create(client, receiver))
    client.clock.advance(3600)
    assert receiver.bodies == []


def test_early_callback_is_posted_before_the_create_response(start, receiver):
    client = start(callback_mode="early", in_progress_seconds=60)
    body = {"query": {"module": {"api_name": "Contacts"}}, "callback": receiver.callback}
    job = client.create(body).json()["data"][0]["details"]["id"]
    assert receiver.bodies[0]["data"][0]["id"] == job
    assert receiver.bodies[0]["data"][0]["state"] == "COMPLETED"


def test_callback_delay_counts_from_completion(start, receiver):
    client = start(callback_delay=30, in_progress_seconds=5)
    create(client, receiver)
    client.clock.advance(34)
    assert receiver.bodies == []
    client.clock.advance(1)
    assert len(receiver.bodies) == 1


def test_scripted_callback_is_dropped_doubled_or_delayed(client, receiver):
    client.fault(target="callback", path="/cb$", drop=True, nth=1)
    client.fault(target="callback", path="/cb$", duplicate=1, nth=2)
    client.fault(target="callback", path="/cb$", delay=9, nth=3)
    create(client, receiver)
    assert attempts(client)[0]["dropped"] is True
    create(client, receiver)
    assert len(receiver.bodies) == 2
    create(client, receiver)
    assert len(receiver.bodies) == 2
    client.clock.advance(9)
    assert len(receiver.bodies) == 3


def test_scripted_job_is_early_or_takes_its_own_time(start, receiver):
    client = start(in_progress_seconds=60)
    client.fault(method="POST", nth=1, job={"is_early": True})
    client.fault(method="POST", nth=2, job={"seconds": 7})
    create(client, receiver)
    assert len(receiver.bodies) == 1
    create(client, receiver)
    client.clock.advance(6)
    assert len(receiver.bodies) == 1
    client.clock.advance(1)
    assert len(receiver.bodies) == 2
