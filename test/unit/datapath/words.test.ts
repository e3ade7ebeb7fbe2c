import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addressBytes, addressText, addressWords, macBytes, macText, macWords } from "../../../src/datapath/words.ts";

describe("MACs", () => {
  it("are the high 16 and the low 32 bits of one big-endian number", () => {
    expect(macWords("02:42:ac:11:00:02")).toEqual([0x0242, 0xac110002]);
    expect([...macBytes("02:42:ac:11:00:02")]).toEqual([0x02, 0x42, 0xac, 0x11, 0x00, 0x02]);
  });

  it("come back as they went", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 0xffffffff }), (high, low) => {
        expect(macWords(macText(high, low))).toEqual([high, low]);
        expect(macText(high, low | 0)).toBe(macText(high, low)); // as a signed word of the engine
      }),
    );
  });

  it.each(["", "02:42:AC:11:00:02", "02-42-ac-11-00-02", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "g2:42:ac:11:00:02"])(
    "refuse %j",
    (text) => {
      expect(() => macWords(text)).toThrow("is not a MAC address");
    },
  );
});

describe("addresses", () => {
  it.each([
    ["10.9.0.2", "00000000000000000000ffff0a090002"],
    ["fd00::2", "fd000000000000000000000000000002"],
    ["::1", "00000000000000000000000000000001"],
    ["2001:db8:1:2:3:4:5:6", "20010db8000100020003000400050006"],
  ])("%s is %s", (text, hex) => {
    expect(Buffer.from(addressBytes(text)).toString("hex")).toBe(hex);
    expect(addressText(addressWords(text))).toBe(text);
  });

  it("come back as they went", () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(addressText(addressWords(text))).toBe(text);
      }),
    );
  });

  it.each([
    ["10.9.0", "canonically"],
    ["10.09.0.2", "is not an IP address"],
    ["FD00::2", "write fd00::2"],
    ["fd00:0::2", "write fd00::2"],
    ["::ffff:10.9.0.2", "write 10.9.0.2"],
    ["eth0", "is not an IP address"],
    ["", "is not an IP address"],
  ])("refuse %j", (text, reason) => {
    expect(() => addressBytes(text)).toThrow(reason);
  });
});
