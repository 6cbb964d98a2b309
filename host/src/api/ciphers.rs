//! `restapi.ciphers`: OpenSSL's language for lists of cipher suites, spoken over the suites that there are. As with
//! OpenSSL it is about TLS 1.2; the suites of TLS 1.3 are always offered.

use rustls::{CipherSuite, SupportedCipherSuite};

/// What OpenSSL calls a suite, and the words that mean it.
struct Known {
    suite: CipherSuite,
    name: &'static str,
    words: &'static [&'static str],
}

const KNOWN: [Known; 6] = [
    Known {
        suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        words: &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM", "SHA384"],
    },
    Known {
        suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        words: &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM", "SHA256"],
    },
    Known {
        suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        words: &["ECDSA", "aECDSA", "CHACHA20"],
    },
    Known {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        words: &["aRSA", "AES", "AES256", "AESGCM", "SHA384"],
    },
    Known {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        words: &["aRSA", "AES", "AES128", "AESGCM", "SHA256"],
    },
    Known {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        words: &["aRSA", "CHACHA20"],
    },
];

/// Words that mean every suite that we have.
const ALL: [&str; 7] = ["ALL", "DEFAULT", "COMPLEMENTOFDEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE"];

impl Known {
    /// All parts of `A+B` mean it.
    fn is_meant(&self, item: &str) -> bool {
        item.split('+').all(|word| word == self.name || ALL.contains(&word) || self.words.contains(&word))
    }
}

/// Leaves the suites of the list, in its order; what is no suite of ours takes nothing in or out.
pub(super) fn restrict(suites: &mut Vec<SupportedCipherSuite>, list: &str) {
    let chosen = chosen(list);
    if chosen.is_empty() {
        tracing::warn!("restapi.ciphers {list:?} leaves no suite for TLS 1.2: only TLS 1.3 is spoken");
    }
    let place = |suite: &SupportedCipherSuite| chosen.iter().position(|one| *one == suite.suite());
    suites.retain(|suite| suite.tls13().is_some() || place(suite).is_some());
    // None, which is what TLS 1.3 has, comes first.
    suites.sort_by_key(place);
}

fn chosen(list: &str) -> Vec<CipherSuite> {
    let mut chosen: Vec<&Known> = Vec::new();
    let mut killed: Vec<&str> = Vec::new();
    for item in list.split([':', ',', ' ']).filter(|item| !item.is_empty() && !item.starts_with('@')) {
        match item.split_at(1) {
            ("!", word) => {
                killed.push(word);
                chosen.retain(|known| !known.is_meant(word));
            }
            ("-", word) => chosen.retain(|known| !known.is_meant(word)),
            ("+", word) => chosen.sort_by_key(|known| known.is_meant(word)),
            _ => {
                let allowed = |known: &&Known| !killed.iter().any(|word| known.is_meant(word));
                let new: Vec<&Known> = KNOWN.iter().filter(|known| known.is_meant(item)).filter(allowed).collect();
                chosen.extend(
                    new.into_iter().filter(|new| !chosen.iter().any(|old| old.name == new.name)).collect::<Vec<_>>(),
                );
            }
        }
    }
    chosen.iter().map(|known| known.suite).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_openssl_does() {
        let check = |list: &str, expected: &[&str]| {
            let names: Vec<_> = chosen(list)
                .iter()
                .filter_map(|suite| KNOWN.iter().find(|known| known.suite == *suite))
                .map(|known| known.name)
                .collect();
            assert_eq!(names, expected, "{list}");
        };
        let one = "ECDHE-RSA-AES256-GCM-SHA384";
        check(one, &[one]);
        check("ECDHE-RSA-AES128-SHA:AES128-SHA", &[]);
        check("ECDHE+AESGCM:!aRSA", &["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
        check("HIGH:!aNULL:!MD5:-AES:-ECDSA", &["ECDHE-RSA-CHACHA20-POLY1305"]);
        check("!CHACHA20:CHACHA20", &[]);
        check("aRSA+CHACHA20, aRSA+AES128 @STRENGTH", &["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256"]);
        check("ECDSA:+AES256:-CHACHA20", &["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]);
        assert_eq!(chosen("ALL").len(), KNOWN.len());
    }

    #[test]
    fn tls_1_3_stays() {
        let mut suites = rustls::crypto::ring::default_provider().cipher_suites;
        let modern = suites.iter().filter(|suite| suite.tls13().is_some()).count();
        restrict(&mut suites, "ECDHE-RSA-AES256-GCM-SHA384");
        assert_eq!(suites.len(), modern + 1);
        restrict(&mut suites, "nothing");
        assert_eq!(suites.len(), modern);
    }
}
