/** C0, DEL and C1: what steers a terminal or hides in a name. */
function isControl(codeUnit: number): boolean {
  return codeUnit < 0x20 || (codeUnit >= 0x7f && codeUnit <= 0x9f)
}

export function hasControl(text: string): boolean {
  return blankControl(text) !== text
}

/** The text with a blank in place of each control character. */
export function blankControl(text: string): string {
  let out = ''
  for (let i = 0; i < text.length; i++) out += isControl(text.charCodeAt(i)) ? ' ' : text.charAt(i)
  return out
}
