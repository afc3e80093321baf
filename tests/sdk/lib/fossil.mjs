/** Fossil deltas, applied: what a client without the SDK does with them. */
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/** The text that a delta makes of the one before it. Lengths are those in UTF-8. */
export function applyDelta(before, delta) {
  const [source, bytes] = [Buffer.from(before), Buffer.from(delta)];
  let at = 0;
  const number = () => {
    let value = 0;
    for (; DIGITS.includes(String.fromCharCode(bytes[at])); at += 1) value = value * 64 + DIGITS.indexOf(String.fromCharCode(bytes[at]));
    return value;
  };
  const expect = (...signs) => {
    const sign = String.fromCharCode(bytes[at]);
    if (!signs.includes(sign)) throw new Error(`${signs.join(" or ")} expected at ${at} of ${delta}`);
    at += 1;
    return sign;
  };
  const length = number();
  expect("\n");
  const parts = [];
  for (;;) {
    const count = number();
    const sign = expect("@", ":", ";");
    if (sign === ";") break;
    if (sign === "@") {
      const from = number();
      expect(",");
      parts.push(source.subarray(from, from + count));
    } else {
      parts.push(bytes.subarray(at, at + count));
      at += count;
    }
  }
  const target = Buffer.concat(parts);
  if (target.length !== length || at !== bytes.length) throw new Error(`${target.length} bytes instead of ${length} by ${delta}`);
  return target.toString();
}
