"""What the lab bears is written down so that it is accepted, and no longer than a year."""

from __future__ import annotations

from datetime import timedelta

from provchain.baseline import catalog
from provchain.paths import spec_file


def test_the_labs_waivers_hold() -> None:
    found = catalog.load()
    site = catalog.load_site(spec_file("lab").with_name("baseline.yml"), found)
    assert site.waivers
    assert len({waiver.rule for waiver in site.waivers}) == len(site.waivers)
    longest = max(waiver.expires for waiver in site.waivers) - min(waiver.expires for waiver in site.waivers)
    assert longest < timedelta(days=366)
    profile = found.profiles["mlps3-chain"]
    assert {waiver.rule for waiver in site.waivers} <= {rule.id for rule in profile.rules}
