"""Organisations' CAs and node certificates for tests, made by the openssl command as operators make them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

# the default SM2 identity (GB/T 32918): what is signed without it does not verify elsewhere
SIGN = ("-sm3", "-sigopt", "distid:1234567812345678")
VERIFY = ("-vfyopt", "distid:1234567812345678")
BOTH = "serverAuth,clientAuth"


def openssl(*argv: str | Path) -> None:
    """Run the command; a failure shows what it said."""
    result = subprocess.run(["openssl", *argv], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"openssl {argv[0]}: {result.stderr}"


def make_key(path: Path, curve: str = "SM2") -> Path:
    """A private key, readable by its owner only."""
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", path)
    path.chmod(0o600)
    return path


@dataclass(frozen=True)
class Ca:
    """One organisation's CA: `ca.key` and `ca.pem` in `root`."""

    organisation: str
    root: Path

    @property
    def pem(self) -> Path:
        return self.root / "ca.pem"

    def issue(
        self,
        where: Path,
        name: str,
        *,
        organisation: str | None = None,
        days: int = 30,
        usage: str | None = BOTH,
        curve: str = "SM2",
        subject: str | None = None,
    ) -> tuple[Path, Path]:
        """Key and certificate for `name`, as `key.pem` and `cert.pem` in `where`."""
        where.mkdir(parents=True, exist_ok=True)
        key = make_key(where / "key.pem", curve)
        cert, request, extensions = where / "cert.pem", where / "node.csr", where / "extensions"
        subject = subject or f"/CN={name}/O={organisation or self.organisation}"
        sign = SIGN if curve == "SM2" else ("-sha256",)
        openssl("req", "-new", "-key", key, *sign, "-subj", subject, "-out", request)
        lines = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
        lines += [f"extendedKeyUsage={usage}"] if usage else []
        extensions.write_text("\n".join(lines) + "\n")
        verify = VERIFY if curve == "SM2" else ()
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.root / "ca.key"),
            *("-CAcreateserial", *SIGN, *verify),
            *("-days", str(days), "-extfile", extensions, "-out", cert),
        )
        return key, cert

    @property
    def public_key(self) -> bytes:
        """The CA's public point."""
        command = ["openssl", "x509", "-in", str(self.pem), "-noout", "-pubkey"]
        pem = subprocess.run(command, capture_output=True, check=True).stdout
        command = ["openssl", "pkey", "-pubin", "-outform", "DER"]
        return subprocess.run(command, input=pem, capture_output=True, check=True).stdout[-65:]

    def revoke(self, *certs: Path, number: int = 1) -> bytes:
        """A revocation list (PEM) with these certificates beside those that were revoked before."""
        config, index, numbers = (self.root / name for name in ("crl.cnf", "index.txt", "crlnumber"))
        if not index.exists():
            index.touch()
            config.write_text(
                f"[ca]\ndefault_ca=own\n[own]\ndatabase={index}\ncrlnumber={numbers}\n"
                "default_md=sm3\ndefault_crl_days=30\n"
            )
        numbers.write_text(f"{number:04x}\n")
        base = ("ca", "-config", config, "-cert", self.pem, "-keyfile", self.root / "ca.key")
        for cert in certs:
            openssl(*base, "-revoke", cert)
        openssl(*base, "-gencrl", *SIGN[1:], "-out", self.root / "crl.pem")
        return (self.root / "crl.pem").read_bytes()


def make_ca(root: Path, organisation: str) -> Ca:
    """A self-signed SM2 CA of `organisation` in `root`."""
    root.mkdir(parents=True, exist_ok=True)
    key = make_key(root / "ca.key")
    openssl(
        *("req", "-x509", "-new", "-key", key, *SIGN, "-days", "365"),
        *("-subj", f"/CN={organisation} CA/O={organisation}"),
        *("-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-out", root / "ca.pem"),
    )
    return Ca(organisation, root)


def make_trust(where: Path, cas: list[Ca]) -> Path:
    """A trust directory: one CA an organisation."""
    where.mkdir(parents=True, exist_ok=True)
    for ca in cas:
        (where / f"{ca.organisation}.pem").write_bytes(ca.pem.read_bytes())
    return where
