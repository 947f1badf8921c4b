"""The signature of a module's fields, by which a sync sees that its rows need a new full run."""

from crm_export.sync.window import signature_of

NAME, AMOUNT = {"api_name": "Name", "data_type": "text"}, {"api_name": "Amount", "data_type": "currency"}


def test_signature_differs_with_a_new_field_and_with_another_type():
    known = signature_of({}, [NAME])
    assert signature_of({}, [NAME, AMOUNT]) != known
    assert signature_of({}, [{**NAME, "data_type": "picklist"}]) != known
    assert signature_of({}, [NAME]) == known


def test_signature_without_types_is_that_of_the_names():
    picklist = {**NAME, "data_type": "picklist"}
    assert signature_of({}, [NAME], types=False) == signature_of({}, [picklist], types=False)


def test_signature_is_of_the_fields_that_the_query_names():
    query = {"fields": ["Name", "Modified_Time"]}
    assert signature_of(query, [NAME, AMOUNT]) == signature_of(query, [NAME])


def test_module_without_metadata_has_no_signature():
    assert signature_of({}, []) is None
