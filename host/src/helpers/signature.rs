//! Signs requests as AWS wants them signed (version 4): a form that is posted to `/`.

use hmac::{Hmac, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// Who signs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub key: String,
    pub secret: String,
    pub token: Option<String>,
}

/// What is signed.
pub(super) struct Request<'a> {
    pub host: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    pub body: &'a str,
}

/// The type of the bodies.
pub(super) const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The headers that prove who asks, `host` and the type of the body besides.
pub(super) fn headers(request: &Request<'_>, credentials: &Credentials, now: Timestamp) -> Vec<(&'static str, String)> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = &time[..8];
    let mut signed =
        vec![("content-type", FORM.to_owned()), ("host", request.host.to_owned()), ("x-amz-date", time.clone())];
    if let Some(token) = &credentials.token {
        signed.push(("x-amz-security-token", token.clone()));
    }
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hex(&Sha256::digest(request.body)));
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let mut key = format!("AWS4{}", credentials.secret).into_bytes();
    for part in [day, request.region, request.service, "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex(&mac(&key, &text));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.key
    );
    signed.retain(|(name, _)| *name != "host");
    signed.push(("authorization", authorization));
    signed
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length is one.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text as it stands in a form.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_is_sent() {
        let credentials = Credentials { key: "AKIDEXAMPLE".into(), secret: "secret".into(), token: Some("t".into()) };
        let sign = |body: &str, credentials: &Credentials| {
            let request = Request { host: "ec2.example", region: "us-east-1", service: "ec2", body };
            headers(&request, credentials, "2015-08-30T12:36:00Z".parse().unwrap())
        };
        let all = sign("Action=X", &credentials);
        let header = |name: &str| all.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        assert_eq!((header("x-amz-date"), header("x-amz-security-token")), (Some("20150830T123600Z"), Some("t")));
        let begin = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/ec2/aws4_request, \
            SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
        assert!(header("authorization").unwrap().starts_with(begin), "{all:?}");
        let signature = |body: &str, credentials: &Credentials| sign(body, credentials).pop().unwrap().1;
        assert_ne!(signature("Action=X", &credentials), signature("Action=Y", &credentials));
        assert_ne!(signature("Action=X", &credentials), signature("Action=X", &Credentials::default()));
        assert_eq!(encoded("a b/ü~"), "a%20b%2F%C3%BC~");
    }

    /// The key that AWS's own documentation derives as its example.
    #[test]
    fn the_key_is_derived_as_documented() {
        let mut key = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec();
        for part in ["20150830", "us-east-1", "iam", "aws4_request"] {
            key = mac(&key, part);
        }
        assert_eq!(hex(&key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }
}
