//! Decimal numbers, written without a formatter because every request contains one.

/// The decimal digits of a number, right-aligned.
pub(crate) struct Digits {
    digits: [u8; 20],
    start: usize,
}

impl Digits {
    pub(crate) fn of(number: usize) -> Self {
        let (mut digits, mut start, mut rest) = ([0; 20], 20, number);
        loop {
            start -= 1;
            // A digit fits.
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return Self { digits, start };
            }
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// Parses a number that consists of digits only and fits in 64 bits.
pub(crate) fn parse(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read() {
        for number in [0, 7, 10, 128, 65_536, usize::MAX] {
            let digits = Digits::of(number);
            assert_eq!(digits.as_bytes(), number.to_string().as_bytes());
            assert_eq!(parse(digits.as_bytes()), u64::try_from(number).ok());
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "",
            "+1",
            "-1",
            "1 ",
            " 1",
            "1e3",
            "0x1",
            "18446744073709551616",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
