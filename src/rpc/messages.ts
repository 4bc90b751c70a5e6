/** Messages of the wire, package sealgate.v1 (generated from proto/). */
export { google, sealgate } from './gen/messages.js'
