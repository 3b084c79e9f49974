/** The entropy coder: range asymmetric numeral systems under frozen tables (docs/wire.md, "Entropy coder"). */

const PRECISION_BITS = 24n;
const WORD_BITS = 32n;
const WORD = 0xffffffffn;
const WORD_BYTES = 4;

/** Where each level begins in [0, 2^24), and 2^24 itself, from counts that add up to a power of two. */
export function leftEdges(counts: number[]): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const spare = 2 ** Number(PRECISION_BITS) - counts.length;
  const edges = [0];
  let passed = 0;
  counts.forEach((count, level) => {
    passed += count;
    // below 2^40 and divided by a power of two: exact in a double
    edges.push(Math.floor((passed * spare) / total) + level + 1);
  });
  return edges;
}

/**
 * Levels as bytes. The state has 64 bits, more than a double holds, so it is a BigInt.
 *
 * @param rows of each channel, `leftEdges`.
 * @param positions levels of each channel.
 */
export function write(levels: Uint8Array, rows: number[][], positions: number): Uint8Array {
  const words: number[] = [];
  let state = 0n;
  // from the last to the first, so that reading goes forward
  for (let place = levels.length - 1; place >= 0; place--) {
    const edges = rows[Math.floor(place / positions)];
    const left = edges[levels[place]];
    const width = BigInt(edges[levels[place] + 1] - left);
    if (state >> (64n - PRECISION_BITS) >= width) {
      words.push(Number(state & WORD));
      state >>= WORD_BITS;
    }
    state = ((state / width) << PRECISION_BITS) + BigInt(left) + (state % width);
  }
  for (; state; state >>= WORD_BITS) words.push(Number(state & WORD));
  const body = Buffer.alloc(words.length * WORD_BYTES);
  words.forEach((word, index) => body.writeUInt32LE(word, index * WORD_BYTES));
  return body;
}

/** The levels that `write` wrote; any other bytes are refused. */
export function read(body: Uint8Array, rows: number[][], positions: number): Uint8Array {
  if (body.length % WORD_BYTES) throw new Error(`body of ${body.length} bytes is not made of words: truncated`);
  const view = Buffer.from(body);
  let end = body.length;
  const pop = () => BigInt(view.readUInt32LE((end -= WORD_BYTES)));
  let state = end ? pop() : 0n;
  if (body.length && !state) throw new Error("body ends in a word of zero, which is never written");
  if (end) state = (state << WORD_BITS) | pop();
  const levels = new Uint8Array(rows.length * positions);
  for (let place = 0; place < levels.length; place++) {
    const edges = rows[Math.floor(place / positions)];
    const quantile = Number(BigInt.asUintN(Number(PRECISION_BITS), state));
    const level = find(edges, quantile);
    const width = BigInt(edges[level + 1] - edges[level]);
    state = (state >> PRECISION_BITS) * width + BigInt(quantile - edges[level]);
    if (end && state >> WORD_BITS === 0n) state = (state << WORD_BITS) | pop();
    levels[place] = level;
  }
  if (end || state) throw new Error("body holds more than one feature tensor");
  return levels;
}

/** The last level that begins at or before a place, by halving. */
function find(edges: number[], quantile: number): number {
  let [low, high] = [0, edges.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (edges[middle] <= quantile) low = middle;
    else high = middle;
  }
  return low;
}
