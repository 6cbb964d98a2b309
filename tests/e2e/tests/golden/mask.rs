//! What differs between any two runs, made equal: times, positions, long numbers, widths of tables.

/// How a text looks to whoever does not care for these.
pub fn masked(text: &str) -> String {
    text.lines().map(|line| masked_line(line.trim_end())).collect::<Vec<_>>().join("\n")
}

fn masked_line(line: &str) -> String {
    let mut rest = line;
    let mut masked = String::new();
    while let Some(first) = rest.chars().next() {
        let (length, put) = token(rest).unwrap_or((first.len_utf8(), &rest[..first.len_utf8()]));
        masked.push_str(put);
        rest = &rest[length..];
    }
    // The title of a table covers as many columns as it is long.
    match masked.split_once("(N)") {
        Some((title, _)) if title.starts_with("+ Cluster: ") => format!("{title}(N)"),
        _ => masked.replace("\"replayed_timestamp\": \"TIME\"", "\"replayed_timestamp\": null"),
    }
}

/// How long what begins here is, and what stands for it.
fn token(text: &str) -> Option<(usize, &'static str)> {
    let run = |of: fn(char) -> bool| text.find(|c| !of(c)).unwrap_or(text.len());
    if let Some(length) = time(text) {
        return Some((length, "TIME"));
    }
    if let Some(hexadecimal) = text.strip_prefix("0/") {
        let digits = hexadecimal.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hexadecimal.len());
        if digits >= 6 {
            return Some((2 + digits, "LSN"));
        }
    }
    match text.chars().next()? {
        '0'..='9' => Some(run(|c| c.is_ascii_digit())).filter(|length| *length >= 6).map(|length| (length, "N")),
        ' ' => Some((run(|c| c == ' '), " ")),
        '-' => Some(run(|c| c == '-')).filter(|length| *length >= 3).map(|length| (length, "-")),
        _ => None,
    }
}

/// `2026-11-20 19:58:05.970518+00:00` and the like.
fn time(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-dd?dd:dd";
    let fits = shape.iter().enumerate().all(|(place, shape)| match (shape, bytes.get(place)) {
        (b'd', Some(byte)) => byte.is_ascii_digit(),
        (b'?', Some(byte)) => matches!(byte, b' ' | b'T'),
        (shape, Some(byte)) => shape == byte,
        (_, None) => false,
    });
    let tail = |c: char| c.is_ascii_digit() || matches!(c, ':' | '.' | '+');
    fits.then(|| shape.len() + text[shape.len()..].find(|c| !tail(c)).unwrap_or(text.len() - shape.len()))
}

#[test]
fn what_differs_always_is_masked() {
    let check = |text: &str, expected: &str| assert_eq!(masked(text), expected);
    check("| a   |  0/3000060 |", "| a | LSN |");
    check("+ Cluster: batman (7710345176211496303) --+----+", "+ Cluster: batman (N)");
    check("{\"at\": \"2026-11-20 19:58:05.97+00:00\", \"port\": 15430}", "{\"at\": \"TIME\", \"port\": 15430}");
    check("+----+-----+", "+-+-+");
}
