//! Certificate authorities and certificates for tests, good and expired.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name, X509NameRef};

const DAY: i64 = 24 * 60 * 60;

/// A certificate authority.
pub struct Authority(Issued);

/// A certificate and its key.
pub struct Issued {
    certificate: X509,
    key: PKey<Private>,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Current,
    /// Until yesterday.
    Expired,
}

impl Authority {
    /// A self-signed authority.
    ///
    /// # Panics
    /// When OpenSSL refuses.
    pub fn new(name: &str) -> Self {
        Self(sign(name, &[], Validity::Current, None).expect("a certificate authority"))
    }

    /// A certificate for a common name and these host names or addresses.
    ///
    /// # Panics
    /// When OpenSSL refuses.
    pub fn issue(&self, name: &str, hosts: &[&str], validity: Validity) -> Issued {
        sign(name, hosts, validity, Some(&self.0)).expect("a certificate")
    }

    /// Writes its certificate as `name.crt`, and returns the path.
    pub fn write(&self, dir: &Path, name: &str) -> PathBuf {
        self.0.write(dir, name).0
    }
}

impl Issued {
    /// Writes `name.crt` and `name.key`, which only the owner may read, and returns the paths.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let key = self.key.private_key_to_pem_pkcs8().expect("a key in PEM format");
        self.write_with(dir, name, &key)
    }

    /// Writes the key and the certificate into `name.pem`, as Kafka takes them, and returns the path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_together(&self, dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(format!("{name}.pem"));
        let key = self.key.private_key_to_pem_pkcs8().expect("a key in PEM format");
        let certificate = self.certificate.to_pem().expect("a certificate in PEM format");
        fs::write(&path, [key, certificate].concat()).expect("a file");
        path
    }

    /// The same as [`write`](Self::write), with the key encrypted.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write_encrypted(&self, dir: &Path, name: &str, password: &str) -> (PathBuf, PathBuf) {
        let key = self.key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), password.as_bytes());
        self.write_with(dir, name, &key.expect("a key in PEM format"))
    }

    fn write_with(&self, dir: &Path, name: &str, key: &[u8]) -> (PathBuf, PathBuf) {
        let paths = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        fs::write(&paths.0, self.certificate.to_pem().expect("a certificate in PEM format")).expect("a file");
        fs::write(&paths.1, key).expect("a file");
        fs::set_permissions(&paths.1, fs::Permissions::from_mode(0o600)).expect("permissions");
        paths
    }
}

fn sign(name: &str, hosts: &[&str], validity: Validity, by: Option<&Issued>) -> Result<Issued, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut subject = X509Name::builder()?;
    subject.append_entry_by_text("CN", name)?;
    let subject = subject.build();
    let issuer: &X509NameRef = by.map_or(&subject, |by| by.certificate.subject_name());
    let mut serial = BigNum::new()?;
    serial.rand(120, MsbOption::MAYBE_ZERO, false)?;
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX - 100 * DAY);
    let until = if validity == Validity::Expired { now - DAY } else { now + 30 * DAY };

    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(serial.to_asn1_integer()?.as_ref())?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(Asn1Time::from_unix(now - 10 * DAY)?.as_ref())?;
    builder.set_not_after(Asn1Time::from_unix(until)?.as_ref())?;
    if by.is_none() {
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    }
    if !hosts.is_empty() {
        let mut names = SubjectAlternativeName::new();
        for host in hosts {
            if host.parse::<std::net::IpAddr>().is_ok() {
                names.ip(host)
            } else {
                names.dns(host)
            };
        }
        let names = names.build(&builder.x509v3_context(None, None))?;
        builder.append_extension(names)?;
    }
    builder.sign(by.map_or(&key, |by| &by.key), MessageDigest::sha256())?;
    Ok(Issued { certificate: builder.build(), key })
}
