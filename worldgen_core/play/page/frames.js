// Reads the binary frame message; worldgen_core/play/protocol.py describes it.

export const HEADER_BYTES = 36;

export function unpack(data) {
  const view = new DataView(data);
  const flags = view.getUint8(3), width = view.getUint16(4, true), height = view.getUint16(6, true);
  const mask = view.getUint8(8), count = view.getUint8(9);
  const frame = {
    width, height,
    action: view.getUint16(10, true),
    number: view.getUint32(12, true),
    serial: view.getUint32(16, true),
    press: view.getUint32(20, true),
    rate: view.getFloat32(24, true),
    p50: view.getFloat32(28, true),
    p95: view.getFloat32(32, true),
    dreamOver: Boolean(flags & 1), gameOver: Boolean(flags & 2), isPaused: Boolean(flags & 4),
    isRecording: Boolean(flags & 8), isEnded: Boolean(flags & 16),
    smallWidth: Math.ceil(width / 2), smallHeight: Math.ceil(height / 2),
  };
  const actions = new Uint8Array(data, HEADER_BYTES, count);
  let offset = HEADER_BYTES + count;
  const take = (size) => {
    const pixels = new Uint8Array(data, offset, size);
    offset += size;
    return pixels;
  };
  frame.dream = mask & 1 ? take(width * height * 3) : null;
  frame.game = mask & 2 ? take(width * height * 3) : null;
  const small = frame.smallWidth * frame.smallHeight * 3;
  frame.context = Array.from(actions, (action) => ({ action, pixels: take(small) }));
  return frame;
}
