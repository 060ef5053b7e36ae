"""Makes the certificates of the demo: python certificates.py DIRECTORY

For each name below NAME.pem and NAME.key, all issued by ca.pem, whose key is thrown away.
"""

import datetime
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))

# Who gets one, and for what name.
SUBJECTS = {
    "server": LOOPBACK,
    # Two clients, so that one can come with the other's token.
    "client": x509.UniformResourceIdentifier("spiffe://demo.example/client"),
    "other": x509.UniformResourceIdentifier("spiffe://demo.example/other"),
    # A proxy before ours.
    "edge": x509.UniformResourceIdentifier("spiffe://demo.example/edge"),
}

# Long enough for a demo that is left running over night.
LIFETIME = datetime.timedelta(days=2)


def main(directory: Path) -> None:
    """Writes all of them."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = certificate("Countersign demo CA", ca_key.public_key(), None, ca_key)
    (directory / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    for name, san in SUBJECTS.items():
        key = ec.generate_private_key(ec.SECP256R1())
        issued = certificate(name, key.public_key(), (ca, san), ca_key)
        (directory / f"{name}.pem").write_bytes(issued.public_bytes(serialization.Encoding.PEM))
        (directory / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def certificate(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    issued: tuple[x509.Certificate, x509.GeneralName] | None,
    ca_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """One for `name`, of the issuer and for the name in `issued`; a CA's own without."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issued[0].subject if issued else subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=issued is None, path_length=None), critical=True)
    )
    if issued:
        builder = builder.add_extension(x509.SubjectAlternativeName([issued[1]]), critical=False)
    return builder.sign(ca_key, hashes.SHA256())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
