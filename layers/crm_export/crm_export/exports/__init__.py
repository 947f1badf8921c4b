"""The state of an export and the verbs that advance it. Knows neither boto3 nor HTTP."""
