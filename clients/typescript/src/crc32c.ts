/** CRC32C (Castagnoli), which seals payloads and replies. */

const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  return value;
});

/** The checksum over some pieces, one behind the other: crc32c("123456789") is 0xe3069283. */
export function crc32c(...pieces: Uint8Array[]): number {
  let value = 0xffffffff;
  for (const piece of pieces) for (const byte of piece) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}
