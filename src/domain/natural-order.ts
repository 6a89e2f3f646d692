// The order in which docker lists tags and names: digits by value, everything else by byte. Pure.
// Source: github.com/fvbommel/sortorder v1.1.0 natsort.go NaturalLess, as docker/cli v28.2.2 vendors it. Tags and names are ASCII.

/** For `sort`. */
export function compareNaturally(one: string, other: string): number {
  const [first, second] = [partsOf(one), partsOf(other)]
  for (let at = 0; at < Math.min(first.length, second.length); at++) {
    const difference = compareParts(first[at] ?? '', second[at] ?? '')
    if (difference !== 0) return difference
  }
  return one.length - other.length
}

/** Runs of digits, and single characters. */
function partsOf(text: string): readonly string[] {
  return text.match(/[0-9]+|[^0-9]/g) ?? []
}

function compareParts(one: string, other: string): number {
  const [isNumber, isOtherNumber] = [isDigits(one), isDigits(other)]
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1
  if (!isNumber) return compareBytes(one, other)
  const [value, otherValue] = [one.replace(/^0+/, ''), other.replace(/^0+/, '')]
  // Of equal values the one with fewer zeros before it comes first.
  return value.length - otherValue.length || compareBytes(value, otherValue) || one.length - other.length
}

function isDigits(part: string): boolean {
  return part >= '0' && part < ':'
}

function compareBytes(one: string, other: string): number {
  return one < other ? -1 : Number(one > other)
}
