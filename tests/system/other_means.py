"""How somebody without provchain hardens a host: by hand, in main files, in drop-ins of other names."""

from __future__ import annotations

import re

OTHER_MEANS: dict[str, set[str]] = {
    # the main file, above what it includes
    r"sed -i '1i PermitRootLogin no\nMaxAuthTries 2\nX11Forwarding no\nClientAliveInterval 120' "
    "/etc/ssh/sshd_config": {"ssh-root-login", "ssh-max-tries", "ssh-x11", "ssh-idle-interval"},
    r"printf 'LoginGraceTime 20\nAllowTcpForwarding no\nAllowAgentForwarding no\n' "
    ">/etc/ssh/sshd_config.d/99-local.conf": {
        "ssh-login-grace",
        "ssh-tcp-forwarding",
        "ssh-agent-forwarding",
    },
    r"printf 'minlen = 14\nminclass=4\n' >>/etc/security/pwquality.conf": {
        "password-length",
        "password-classes",
    },
    r"printf 'Storage=persistent\nSystemMaxUse=2G\n' >>/etc/systemd/journald.conf": {
        "journal-persistent",
        "journal-size",
    },
    # the kernel's values, whichever file they come from
    r"printf 'net.ipv4.conf.all.log_martians=1\nnet.ipv4.conf.all.send_redirects=0\n' "
    ">/etc/sysctl.d/99-local.conf; sysctl -qp /etc/sysctl.d/99-local.conf": {
        "net-martians-all",
        "net-send-redirects-all",
    },
    r"printf 'umask 077\nTMOUT=120\nreadonly TMOUT\nexport TMOUT\n' >>/etc/profile": {
        "session-umask",
        "session-idle",
    },
    # another notation of the same rules
    r"printf -- '-a always,exit -F path=/etc/sudoers -F perm=wa -F key=mine\n"
    r"-a always,exit -F dir=/etc/sudoers.d -F perm=rwxa\n' >/etc/audit/rules.d/10-local.rules; "
    "chmod 0640 /etc/audit/rules.d/10-local.rules": {"audit-sudoers"},
    r"sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS\t60/; s/^UMASK.*/UMASK\t\t077/' /etc/login.defs": {
        "password-max-days",
        "login-umask",
    },
    "chage -M 60 proof": {"accounts-max-days"},
    "echo 'Defaults timestamp_timeout=0' >>/etc/sudoers": {"sudo-timeout"},
    "sed -i 's/rotate .*/rotate 30/; s/weekly/weekly/' /etc/logrotate.d/rsyslog": {"logrotate-system"},
    "echo 'Private system. Leave now.' >/etc/issue": {"banner-console"},
    # stacks of one's own, which pam-auth-update leaves alone from then on
    r"sed -i -e 's/ nullok//' -e '/pam_unix.so/i auth required pam_faillock.so preauth silent' "
    r"-e '/pam_unix.so/a auth [default=die] pam_faillock.so authfail' /etc/pam.d/common-auth; "
    r"sed -i 's/success=1/success=2/' /etc/pam.d/common-auth; "
    r"sed -i '/pam_unix.so/i account required pam_faillock.so' /etc/pam.d/common-account": {
        "lockout-before",
        "lockout-after",
        "lockout-account",
        "password-null",
    },
    r"sed -i '/pam_unix.so/i password required pam_pwhistory.so remember=10 use_authtok' "
    "/etc/pam.d/common-password": {"password-history"},
}
"""What is done, and exactly the rules that it makes a stock host comply with."""

_FILES = sorted(set(re.findall(r"/etc/[a-z0-9_./-]+", " ".join(OTHER_MEANS))) - {"/etc/sudoers.d"})
_KEPT = "/root/kept"
KEEP = "\n".join(
    [
        f"mkdir {_KEPT}; cd /",
        *(f"if [ -e {path} ]; then cp -a --parents {path[1:]} {_KEPT}; fi" for path in _FILES),
    ]
)
"""Keeps the files before they are changed."""
BACK = "\n".join(
    f"rm -f {path}; if [ -e {_KEPT}{path} ]; then cp -a {_KEPT}{path} {path}; fi" for path in _FILES
)
"""Brings them back."""
