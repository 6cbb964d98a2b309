//! Signatures of requests as S3 and what speaks like it want them (AWS Signature Version 4, for `GET` alone). Knows no
//! network and no clock.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The digest of a body that is empty.
const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Where nobody says which region.
const REGION: &str = "us-east-1";

/// Who asks. It is in no message: there is no way to print it.
pub struct Signer {
    key_id: String,
    secret: String,
    token: Option<String>,
    region: String,
}

impl Signer {
    /// From what the variables and the parameters of the section say; `None` where they name no key.
    pub fn of(
        variable: &dyn Fn(&str) -> Option<String>,
        parameter: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Signer>, String> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let region = parameter("region").or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
        match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (None, None) => Ok(None),
            (Some(key_id), Some(secret)) => Ok(Some(Signer {
                key_id,
                secret,
                token: variable("AWS_SESSION_TOKEN"),
                region: region.unwrap_or_else(|| REGION.into()),
            })),
            _ => {
                Err("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are wanted, and `environment` grants one of them"
                    .into())
            }
        }
    }

    /// The region that it signs for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The headers that a request needs besides those that it has; `seconds` is the time since 1970.
    pub fn headers(&self, authority: &str, path: &str, range: Option<&str>, seconds: u64) -> Vec<(String, String)> {
        let time = time(seconds);
        let date = &time[..8];
        let mut signed = vec![("host", authority.to_owned())];
        signed.extend(range.map(|range| ("range", range.to_owned())));
        signed.push(("x-amz-content-sha256", NO_BODY.to_owned()));
        signed.push(("x-amz-date", time.clone()));
        signed.extend(self.token.clone().map(|token| ("x-amz-security-token", token)));
        let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let asked = format!("GET\n{path}\n{}\n{lines}\n{names}\n{NO_BODY}", sorted(query));
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(asked)));
        let signature = hex(&keyed(&self.key(date), text.as_bytes()));
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}", self.key_id);
        let own = signed.into_iter().filter(|(name, _)| name.starts_with("x-amz-"));
        own.chain([("authorization", authorization)]).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn key(&self, date: &str) -> Vec<u8> {
        let first = format!("AWS4{}", self.secret).into_bytes();
        [date, &self.region, "s3", "aws4_request"].iter().fold(first, |key, text| keyed(&key, text.as_bytes()))
    }
}

/// `s3://BUCKET/PREFIX` as the URL of the service that has it: of `endpoint`, else of Amazon's own in this region.
/// Every other URL is left as it is.
pub fn resolved(url: &str, endpoint: Option<&str>, region: &str) -> String {
    let Some(place) = url.strip_prefix("s3://") else {
        return url.to_owned();
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let prefix = encoded(prefix);
    match endpoint {
        Some(endpoint) => format!("{}/{bucket}/{prefix}", endpoint.trim_end_matches('/')),
        None => format!("https://{bucket}.s3.{region}.amazonaws.com/{prefix}"),
    }
}

/// A key as it stands in a URL.
fn encoded(key: &str) -> String {
    let mut text = String::new();
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(byte)),
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

/// The questions of a URL in the order in which they are signed.
fn sorted(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `20130524T000000Z`
fn time(seconds: u64) -> String {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(day);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The date so many days after the first of January 1970. The year is thought to begin in March: then the odd day is
/// its last one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the examples in Amazon's documentation.
    fn signer(token: Option<&str>) -> Signer {
        Signer {
            key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            token: token.map(str::to_owned),
            region: "us-east-1".into(),
        }
    }

    /// The examples of "Signature Calculations for the Authorization Header", with their signatures.
    #[test]
    fn the_published_examples_are_signed_as_published() {
        let check = |path: &str, range: Option<&str>, names: &str, signature: &str| {
            let headers = signer(None).headers("examplebucket.s3.amazonaws.com", path, range, 1_369_353_600);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
                 SignedHeaders=host;{names}x-amz-content-sha256;x-amz-date,Signature={signature}"
            );
            assert_eq!(headers.last().unwrap(), &("authorization".to_owned(), expected), "{path}");
            assert!(headers.contains(&("x-amz-date".into(), "20130524T000000Z".into())), "{headers:?}");
        };
        check(
            "/test.txt",
            Some("bytes=0-9"),
            "range;",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        check("/?lifecycle", None, "", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
        check("/?prefix=J&max-keys=2", None, "", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    }

    #[test]
    fn a_session_is_signed_as_well() {
        let headers = signer(Some("a token")).headers("h", "/", None, 0);
        assert!(headers.contains(&("x-amz-security-token".into(), "a token".into())));
        let (_, authorization) = headers.last().unwrap();
        assert!(authorization.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
        let bare = signer(None).headers("h", "/", None, 0);
        assert_ne!(bare.last(), headers.last());
    }

    #[test]
    fn keys_come_in_pairs() {
        let check = |variables: &[(&str, &str)], parameters: &[(&str, &str)], expected: Result<Option<&str>, &str>| {
            let find = |pairs: &[(&str, &str)], name: &str| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            let made = Signer::of(&|name| find(variables, name), &|name| find(parameters, name));
            match (made, expected) {
                (Ok(made), Ok(region)) => assert_eq!(made.as_ref().map(Signer::region), region),
                (Err(error), Err(expected)) => {
                    assert!(error.contains(expected) && !error.contains("s3cret"), "{error}");
                }
                (made, _) => panic!("{variables:?}: {:?}", made.err()),
            }
        };
        let (id, secret) = (("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s3cret"));
        check(&[], &[], Ok(None));
        check(&[id, secret], &[], Ok(Some("us-east-1")));
        check(&[id, secret, ("AWS_DEFAULT_REGION", "b")], &[], Ok(Some("b")));
        check(&[id, secret, ("AWS_REGION", "a"), ("AWS_DEFAULT_REGION", "b")], &[], Ok(Some("a")));
        check(&[id, secret, ("AWS_REGION", "a")], &[("region", "eu-central-1")], Ok(Some("eu-central-1")));
        check(&[id], &[], Err("AWS_SECRET_ACCESS_KEY"));
        check(&[("AWS_ACCESS_KEY_ID", ""), secret], &[], Err("AWS_ACCESS_KEY_ID"));
    }

    #[test]
    fn buckets_have_a_place() {
        let check = |url: &str, endpoint: Option<&str>, expected: &str| {
            assert_eq!(resolved(url, endpoint, "eu-west-1"), expected);
        };
        check("s3://b/main/latest", None, "https://b.s3.eu-west-1.amazonaws.com/main/latest");
        check("s3://b", None, "https://b.s3.eu-west-1.amazonaws.com/");
        check("s3://b/a b+c", Some("http://minio:9000/"), "http://minio:9000/b/a%20b%2Bc");
        check("https://h/b", Some("http://minio:9000"), "https://h/b");
    }

    #[test]
    fn days_have_dates() {
        let check = |seconds: u64, expected: &str| assert_eq!(time(seconds), expected);
        check(0, "19700101T000000Z");
        check(951_782_400, "20000229T000000Z");
        check(1_709_251_199, "20240229T235959Z");
        check(1_709_251_200, "20240301T000000Z");
        check(4_107_542_400, "21000301T000000Z");
        check(1_798_761_599, "20261231T235959Z");
    }
}
