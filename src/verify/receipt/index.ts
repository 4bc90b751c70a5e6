export type { EventSummary } from './event.ts'
export { type SessionSummary, type SessionVerdict, verifySessionFile } from './session.ts'
export type { ReceiptSummary } from './summary.ts'
export { type ReceiptVerdict, verifyReceiptFile } from './verify.ts'
