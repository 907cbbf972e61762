"""From a profile to the auditors' sudo list that ``roles/administrators`` writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from provchain.audit import looks
from provchain.audit.subjects import everything
from provchain.baseline import catalog
from provchain.baseline.resources import Target
from provchain.document import DocumentError


def audit_sudoers(profile: str, account: str) -> str:
    """Return the sudoers file of an account or %group, as ``provchain audit sudoers`` prints it."""
    try:
        resolved = catalog.load().profiles[profile]
        return looks.sudoers(looks.plan(everything(resolved, [Target("any", None, False)])), account)
    except (KeyError, ValueError) as error:
        raise AnsibleFilterError(f"{profile!r} for {account!r}: {error}") from None
    except DocumentError as error:
        raise AnsibleFilterError("\n".join(error.lines())) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them by name."""
        return {"audit_sudoers": audit_sudoers}
