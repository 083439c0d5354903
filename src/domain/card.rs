//! Recognises card numbers in text: 13–19 digits, a known issuer prefix, a valid Luhn check digit
//! (ISO/IEC 7812-1, annex B). Recognition only; the gate replaces what is found.

/// Whether the text is a card number in clear. Spaces and dashes between digits do not hide it.
#[must_use]
pub fn is_card_number(text: &str) -> bool {
    if text.len() > 40 {
        return false;
    }
    let mut digits = [0u8; 19];
    let mut n_digits = 0;
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if n_digits < digits.len() => {
                digits[n_digits] = byte - b'0';
                n_digits += 1;
            }
            b' ' | b'-' if n_digits > 0 => {}
            _ => return false,
        }
    }
    let digits = &digits[..n_digits];
    n_digits >= 13 && has_issuer_prefix(digits) && passes_luhn(digits)
}

/// Issuer ranges of the large networks: Visa 4, Mastercard 51–55 and 2221–2720, American Express
/// 34 and 37, Discover 6011, 644–649 and 65, JCB 3528–3589, Diners 300–305, 36, 38, UnionPay 62,
/// Maestro 50 and 56–69.
fn has_issuer_prefix(digits: &[u8]) -> bool {
    let lead = digits[..4]
        .iter()
        .fold(0u32, |lead, digit| lead * 10 + u32::from(*digit));
    matches!(lead,
        4000..=4999 | 5000..=5999 | 2221..=2720 | 3400..=3499 | 3700..=3799 | 3528..=3589
        | 3000..=3059 | 3600..=3699 | 3800..=3899 | 6000..=6999)
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(*digit);
            match at % 2 {
                0 => digit,
                _ if digit > 4 => 2 * digit - 9,
                _ => 2 * digit,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::is_card_number;

    #[test]
    fn test_numbers_of_the_networks_are_found() {
        for number in [
            "4111111111111111",
            "5555555555554444",
            "378282246310005",
            "6011111111111117",
            "3530111333300000",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
        ] {
            assert!(is_card_number(number), "{number}");
        }
    }

    #[test]
    fn other_numbers_are_not() {
        for number in [
            "4111111111111112",
            "411111111111",
            "c4111111111111111",
            "1234567890123",
            "",
            "41111111111111111111111",
        ] {
            assert!(!is_card_number(number), "{number}");
        }
    }
}
