from fakefreq.report import audit_page


def test_a_source_may_be_called_as_mathematics_is_written() -> None:
    pair = {"first": "$_$", "second": "ffhq", "low": 0.4, "high": 0.6, "auc": 0.5}
    assert "<svg" in audit_page._pairs([pair])
    values = {"$a^$": (0.5, 0.25)}
    assert "<svg" in audit_page._history({"software": {"values": values, "real": 1, "fake": 1}})
