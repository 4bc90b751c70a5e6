export * from './channel.ts'
export * from './exchange.ts'
export * from './forward.ts'
export * from './relay.ts'
