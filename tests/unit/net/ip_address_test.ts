/** Addresses and ranges of them, as text and as bytes. */

import { assertEquals, assertThrows } from "@std/assert";
import { ClientError } from "../../../net/client_error.ts";
import { formatIp, IpRanges, parseIp } from "../../../net/ip_address.ts";
import { newSeed, Random } from "../../fuzz/random.ts";

const textOf = (text: string) => {
  const bytes = parseIp(text);
  return bytes && formatIp(bytes);
};

Deno.test("addresses are read and written in their shortest form", () => {
  const pairs = {
    "10.0.0.9": "10.0.0.9",
    "0.0.0.0": "0.0.0.0",
    "255.255.255.255": "255.255.255.255",
    "::": "::",
    "::1": "::1",
    "1::": "1::",
    "FD00::0001": "fd00::1",
    "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "1:0:0:2:0:0:0:3": "1:0:0:2::3",
    "1:2:3:4:5:6:7:8": "1:2:3:4:5:6:7:8",
    "1:0:3:4:5:6:7:8": "1:0:3:4:5:6:7:8",
    "0:0:0:0:0:0:0:0": "::",
    "10:0:0:0:0:0:0:10": "10::10",
    "::ffff:10.0.0.9": "10.0.0.9",
    "::ffff:a00:9": "10.0.0.9",
    "64:ff9b::1.2.3.4": "64:ff9b::102:304",
  };
  for (const [text, shortest] of Object.entries(pairs)) assertEquals(textOf(text), shortest, text);
});

Deno.test("text that is no address is not read as one", () => {
  const wrong = [
    "",
    "1",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.-4",
    "1.2.3.4 ",
    " 1.2.3.4",
    "1.2.3.0x4",
    "1.2.3.",
    ":",
    ":::",
    "1:::2",
    "1::2::3",
    ":1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8",
    "12345::",
    "g::",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "::1.2.3",
    "fe80::1%eth0",
    "[::1]",
    "localhost",
  ];
  for (const text of wrong) assertEquals(parseIp(text), undefined, text);
});

Deno.test("an address that is written is read as the same bytes", () => {
  const random = new Random(newSeed());
  for (let i = 0; i < 5000; i++) {
    const bytes = Uint8Array.from(
      { length: random.chance(0.2) ? 4 : 16 },
      () => random.chance(0.6) ? 0 : random.int(0, 255),
    );
    const text = formatIp(bytes);
    assertEquals(formatIp(parseIp(text)!), text);
    if (bytes.length === parseIp(text)!.length) assertEquals(parseIp(text), bytes, text);
  }
});

Deno.test("a range holds the addresses of its prefix, and no others", () => {
  const ranges = IpRanges.parse(
    "10.0.0.5, 192.168.4.0/22,fd00::/8,::1,172.16.0.0/12",
    "--proxy-from",
  );
  const inside = [
    "10.0.0.5",
    "::ffff:10.0.0.5",
    "192.168.4.0",
    "192.168.7.255",
    "fd12::1",
    "::1",
    "172.31.255.255",
  ];
  const outside = [
    "10.0.0.4",
    "10.0.0.6",
    "192.168.3.255",
    "192.168.8.0",
    "fc00::1",
    "::2",
    "172.32.0.0",
    "x",
  ];
  assertEquals(inside.filter((address) => !ranges.includes(address)), []);
  assertEquals(outside.filter((address) => ranges.includes(address)), []);
  const all = IpRanges.parse("0.0.0.0/0", "");
  assertEquals([all.includes("1.2.3.4"), all.includes("::1")], [true, false]);
});

Deno.test("a range that cannot be read is refused, and named", () => {
  for (
    const text of [
      "",
      "10.0.0.0/33",
      "10.0.0.0/",
      "10.0.0/8",
      "::/129",
      "10.0.0.0/8/8",
      "1.2.3.4,",
      "any",
      "1.2.3.4/08",
    ]
  ) {
    const error = assertThrows(() => IpRanges.parse(text, "--proxy-from"), ClientError);
    assertEquals([error.code, error.message.includes("--proxy-from")], ["usage", true], text);
  }
});
