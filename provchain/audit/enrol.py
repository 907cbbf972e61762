"""The script that lets an auditor look at a host that provchain never touched. Pure.

The host's administrator reads it and runs it as root; it prints what the auditor's list of hosts needs. The
host key comes from the host itself, over the administrator's own way in.
"""

from __future__ import annotations

import re

PUBLIC_KEY = re.compile(
    r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]{1,40} [A-Za-z0-9+/]{60,800}={0,2}(?: [^\x00-\x1f\x7f]{0,100})?"
)
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_SCRIPT = r"""#!/bin/sh
# 为审计人开通只读账户：由系统管理员以 root 运行；目录或基线更新后重新运行。撤销见下一行。
# Lets an auditor look at this host; run it as root, again after an upgrade of the baseline. To take it back:
#   rm /etc/sudoers.d/@ACCOUNT@ && userdel --force --remove @ACCOUNT@
set -eu
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin
[ "$(id -u)" = 0 ] || { echo "run it as root: sudo sh enrol.sh" >&2; exit 1; }
# no password is valid, and the account is not locked: the key alone lets in
id -u @ACCOUNT@ >/dev/null 2>&1 || useradd --create-home --shell /bin/sh --password '*' @ACCOUNT@
[ "$(id -u @ACCOUNT@)" != 0 ] || { echo "@ACCOUNT@ is root" >&2; exit 1; }
# as the account itself: in folders of other people root writes nothing
runuser -u @ACCOUNT@ -- sh -c '
  cd ~@ACCOUNT@ && umask 077 && mkdir -p .ssh && cat >.ssh/authorized_keys
' <<'END'
@KEY@
END
list=$(mktemp)
trap 'rm -f "$list"' EXIT
cat >"$list" <<'END'
@SUDOERS@END
visudo -cqf "$list"
install -m 0440 "$list" /etc/sudoers.d/@ACCOUNT@
# what else could keep the auditor out
sshd -T 2>/dev/null | grep -E '^((allow|deny)(users|groups)|authorizedkeysfile) ' |
  grep -vE '^authorizedkeysfile (.*[ /])?\.ssh/authorized_keys( |$)' | sed 's/^/check sshd_config: /' >&2 || :
address=$(hostname -I 2>/dev/null | cut -d ' ' -f 1)
echo "  - name: $(uname -n | cut -d . -f 1 | tr '[:upper:]_' '[:lower:]-')"
echo "    address: ${address:-unknown}"
echo "    host_key: $(cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub)"
"""


def script(account: str, key: str, sudoers: str) -> str:
    """Return the script for an account, by its public key and sudo list (``looks.sudoers``).

    Raises ValueError for what is no account's name or no public key.
    """
    if not ACCOUNT.fullmatch(account):
        raise ValueError(f"{account!r} is no name of an account")
    if not PUBLIC_KEY.fullmatch(key.strip()):
        raise ValueError("that is no public key as ssh-keygen leaves it in a .pub file: type, space, base64")
    if "\nEND\n" in f"\n{sudoers}":
        raise ValueError("the sudo list has a line END")
    filled = {"@ACCOUNT@": account, "@KEY@": key.strip(), "@SUDOERS@": sudoers}
    return re.sub("@[A-Z]+@", lambda found: filled[found[0]], _SCRIPT)
