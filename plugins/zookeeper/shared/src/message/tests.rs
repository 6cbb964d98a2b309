//! Messages as they are on the wire.

use super::*;
use proptest::prelude::*;

fn acl() -> Vec<Acl> {
    vec![Acl { permissions: 31, scheme: "world".to_owned(), id: "anyone".to_owned() }]
}

#[test]
fn requests_are_written_as_servers_read_them() {
    let check = |op: &Op<'_>, expected: &[u8]| {
        let frame = op.frame(7, &acl());
        let length = usize::try_from(u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]])).expect("small");
        assert_eq!(length, frame.len() - 4);
        assert_eq!(&frame[4..8], [0, 0, 0, 7]);
        assert_eq!(&frame[8..], expected, "{op:?}");
    };
    check(&Op::Get("/a", true), b"\0\0\0\x04\0\0\0\x02/a\x01");
    check(&Op::Delete("/a", -1), b"\0\0\0\x02\0\0\0\x02/a\xff\xff\xff\xff");
    let create = b"\0\0\0\x02/a\0\0\0\x01x\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone\0\0\0\x01";
    check(&Op::Create("/a", b"x", true), &[b"\0\0\0\x01".as_slice(), create].concat());
    let head = b"\0\0\0\x0e\0\0\0\x01\0\xff\xff\xff\xff".as_slice();
    let end = b"\xff\xff\xff\xff\x01\xff\xff\xff\xff".as_slice();
    check(&Op::Multi(vec![Op::Create("/a", b"x", true)]), &[head, create, end].concat());
    check(&Op::Close, &(-11_i32).to_be_bytes());
}

#[test]
fn answers_are_read() {
    let mut stat = Vec::new();
    for number in [1_i64, 2, 3, 4] {
        stat.extend(number.to_be_bytes());
    }
    for number in [5_i32, 6, 7] {
        stat.extend(number.to_be_bytes());
    }
    stat.extend(8_i64.to_be_bytes());
    stat.extend([0, 0, 0, 9, 0, 0, 0, 10]);
    stat.extend(11_i64.to_be_bytes());
    let expected = Stat { modified: 2, version: 5, owner: 8, children: 10, listed: 11 };
    assert_eq!(Op::Exists("/a", false).answer(Code(0), &stat), Ok(Ok(Body::Stat(expected))));
    assert_eq!(Op::Exists("/a", false).answer(Code::NO_NODE, &[]), Ok(Err(Code::NO_NODE)));
    let value = [b"\0\0\0\x01x".as_slice(), &stat].concat();
    assert_eq!(Op::Get("/a", false).answer(Code(0), &value), Ok(Ok(Body::Value(b"x".to_vec(), expected))));
    let list = [b"\0\0\0\x01\0\0\0\x01b".as_slice(), &stat].concat();
    let children = Body::Children(vec!["b".to_owned()], expected);
    assert_eq!(Op::List("/a", false).answer(Code(0), &list), Ok(Ok(children)));
    assert_eq!(Op::List("/a", false).answer(Code(0), &list[..20]), Err(Malformed));
}

#[test]
fn a_refused_transaction_says_which_part() {
    let multi = Op::Multi(vec![Op::Check("/a", 1), Op::Delete("/a", 1), Op::Delete("/b", 1)]);
    let result = |kind: i32, code: i32| [kind.to_be_bytes().as_slice(), &[0], &code.to_be_bytes()].concat();
    let failed = |code: i32| [result(-1, code), code.to_be_bytes().to_vec()].concat();
    let answer = [failed(0), failed(-101), failed(-2), result(-1, -1)].concat();
    assert_eq!(multi.answer(Code(0), &answer), Ok(Ok(Body::Refused(1, Code::NO_NODE))));
    let answer = [result(13, 0), result(2, 0), result(2, 0)].concat();
    assert_eq!(multi.answer(Code(0), &answer), Ok(Ok(Body::All(vec![Body::Nothing; 3]))));
}

#[test]
fn a_session_is_asked_for_and_given() {
    let hello = Hello { seen: 1, timeout_ms: 2, session: 3, password: b"pw" };
    let expected = b"\0\0\0\x1f\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x02pw\0";
    assert_eq!(hello.frame(), expected);
    let answer = b"\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x02pw\0";
    let welcome = Welcome { timeout_ms: 2, session: 3, password: b"pw".to_vec() };
    assert_eq!(Welcome::read(answer), Ok(welcome));
}

proptest! {
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _welcome = Welcome::read(&bytes);
        if let Ok((_, rest)) = heading(&bytes) {
            for op in [Op::Get("", false), Op::List("", false), Op::Multi(vec![Op::Close, Op::Close])] {
                let _answer = op.answer(Code(0), rest);
            }
        }
    }
}
