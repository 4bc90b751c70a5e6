export type { ReceiptSummary } from './summary.ts'
export { type ReceiptVerdict, verifyReceiptFile } from './verify.ts'
