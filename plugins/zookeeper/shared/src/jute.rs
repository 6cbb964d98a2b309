//! How ZooKeeper writes its messages: big-endian numbers, and texts and lists with their length before them. It knows
//! no message.

/// What a message lacks, or has too much of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The most that one message may hold; servers send less.
pub(crate) const FRAME_MAX: usize = 64 << 20;

/// Writes one message with its length before it.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// The length is written at the end.
    pub fn new() -> Writer {
        Writer(vec![0; 4])
    }

    pub fn int(&mut self, value: i32) -> &mut Writer {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn long(&mut self, value: i64) -> &mut Writer {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn flag(&mut self, value: bool) -> &mut Writer {
        self.0.push(u8::from(value));
        self
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Writer {
        // What is longer is refused by the server long before.
        self.int(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.0.extend(value);
        self
    }

    pub fn text(&mut self, value: &str) -> &mut Writer {
        self.bytes(value.as_bytes())
    }

    /// The message, ready to be sent.
    pub fn frame(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// Reads one message, without its length.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn int(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    pub fn long(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.take()?))
    }

    pub fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.take::<1>()? != [0])
    }

    /// Nothing is as good as empty.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.int()?;
        let length = if length == -1 { 0 } else { usize::try_from(length).map_err(|_| Malformed)? };
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub fn text(&mut self) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    pub fn texts(&mut self) -> Result<Vec<String>, Malformed> {
        let count = self.int()?.max(0);
        (0..count).map(|_| self.text()).collect()
    }
}

/// Takes the first whole message from what has arrived; `None` while it is not whole.
pub(crate) fn next_frame(arrived: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(head) = arrived.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).map_err(|_| Malformed)?;
    if length > FRAME_MAX {
        return Err(Malformed);
    }
    if arrived.len() < 4 + length {
        return Ok(None);
    }
    let frame = arrived[4..4 + length].to_vec();
    arrived.drain(..4 + length);
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut writer = Writer::new();
        writer.int(-1).long(1 << 40).flag(true).bytes(b"\xff\x00").text("é").int(2).text("a").text("");
        let mut arrived = writer.frame();
        arrived.extend([0, 0]);
        let frame = next_frame(&mut arrived).expect("it is right").expect("it is whole");
        assert_eq!(arrived, [0, 0]);
        let mut reader = Reader(&frame);
        assert_eq!((reader.int(), reader.long(), reader.flag()), (Ok(-1), Ok(1 << 40), Ok(true)));
        assert_eq!((reader.bytes(), reader.text()), (Ok(b"\xff\x00".as_slice()), Ok("é".to_owned())));
        assert_eq!(reader.texts(), Ok(vec!["a".to_owned(), String::new()]));
        assert_eq!(reader.int(), Err(Malformed));
        assert_eq!(Reader(&[255, 255, 255, 255]).bytes(), Ok(b"".as_slice()), "nothing");
        assert_eq!(Reader(&[255, 255, 255, 254]).bytes(), Err(Malformed));
        assert_eq!(next_frame(&mut vec![255, 0, 0, 0]), Err(Malformed), "longer than anything");
    }

    proptest! {
        #[test]
        fn garbage_is_read_to_its_end_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader(&bytes);
            let _list = reader.texts();
            let mut arrived = bytes.clone();
            while let Ok(Some(frame)) = next_frame(&mut arrived) {
                prop_assert!(frame.len() <= bytes.len());
            }
        }
    }
}
