"""Make objects.ndjson: JR/T 0314 objects of an invented provincial equity market, in the order to submit.

    python examples/make_objects.py            write objects.ndjson beside this file
    python examples/make_objects.py --check    exit 1 when the file is not what this script makes

The same output every time: one seeded generator, no clock. All companies, people and codes are invented; the
codes follow JR/T 0326-2024 and GB 32100-2015 with their check digits, the identities JR/T 0325-2024. Names of
natural persons are masked, as personal data has no place on the chain.

The story: forty companies register, each has its share register entered, shares are transferred (after each
the register is updated in full), some are pledged, pledges are released (incremental updates), details of
companies change (incremental, some cleared by null), wrong entries are corrected (overwrites, of the latest
version and of earlier ones) and companies leave (deletions). A reference holds the id and the version that
its object had at the time of the event.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PROTOCOL = "区域性股权市场跨链业务数据模型"
CHAIN = "zhejiang"
COMPANIES = 40
OUTPUT = Path(__file__).with_name("objects.ndjson")
Body = dict[str, Any]

# prefecture: administrative division code (GB/T 2260) and a street
CITIES = {
    "杭州": ("330106", "西湖区文三路"),
    "宁波": ("330212", "鄞州区学士路"),
    "温州": ("330302", "鹿城区车站大道"),
    "嘉兴": ("330402", "南湖区凌公塘路"),
    "湖州": ("330502", "吴兴区红丰路"),
    "绍兴": ("330602", "越城区延安东路"),
    "金华": ("330702", "婺城区双龙南街"),
    "台州": ("331002", "椒江区市府大道"),
}
WORDS = ("云澜", "启明", "恒岳", "瑞禾", "德清源", "青瓯", "望潮", "越泽", "钱江源", "木槿", "海岳", "天目")
TRADES = {
    "智能装备": "C35 专用设备制造业",
    "生物医药": "C27 医药制造业",
    "新材料": "C26 化学原料和化学制品制造业",
    "信息技术": "I65 软件和信息技术服务业",
    "生态农业": "A01 农业",
    "纺织科技": "C17 纺织业",
}
FUNDS = (
    "浙海创业投资合伙企业(有限合伙)",
    "之江成长股权投资基金",
    "甬江产业投资有限公司",
    "瓯越创新投资有限公司",
)
BANKS = ("浙东商业银行股份有限公司", "钱塘农村商业银行股份有限公司", "甬城商业银行股份有限公司")
SURNAMES = "王李张刘陈杨黄赵周吴徐孙朱马胡林郭何高罗"
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def uscc(division: str, serial: int) -> str:
    """A unified social credit code of a company (GB 32100-2015) with both its check digits."""
    organisation = f"MA{serial:06d}"
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    rest = 11 - sum(alphabet.index(c) * w for c, w in zip(organisation, weights, strict=True)) % 11
    body = "91" + division + organisation + {10: "X", 11: "0"}.get(rest, str(rest))
    total = sum(USCC_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return body + USCC_ALPHABET[-total % 31]


def did(code: str) -> str:
    """The identity that belongs to a code (JR/T 0325-2024)."""
    return f"did:rem:{CHAIN}:{code}"


@dataclass
class Ledger:
    """What has been submitted so far: knows each object's newest version and the market's clock."""

    rng: random.Random
    clock: datetime = datetime(2025, 1, 6, 1, 30, tzinfo=UTC)
    latest: dict[str, int] = field(default_factory=dict)

    def submit(
        self,
        kind: str,
        object_id: str,
        operation: str,
        body: Body,
        *,
        at: int | None = None,
        remark: str = "",
    ) -> Body:
        """The object for one operation; `at` is the version that an overwrite corrects."""
        if operation == "overwrite":
            version = self.latest[object_id] if at is None else at
        else:
            version = self.latest[object_id] + 1 if object_id in self.latest else 0
            self.latest[object_id] = version
        self.clock += timedelta(minutes=self.rng.randint(7, 240))
        header: Body = {
            "model": {"protocol": PROTOCOL, "version": "1.0"},
            "content": {
                "type": kind,
                "object_id": object_id,
                "version": version,
                "operation": operation,
                "timestamp": int(self.clock.timestamp()),
            },
        }
        if remark:
            header["remark"] = remark
        return {"header": header, "body": body}

    def reference(self, object_id: str) -> Body:
        """A pinned reference to the object as it is now."""
        return {"object_id": object_id, "version": self.latest[object_id]}

    def today(self) -> str:
        """The market's date."""
        return self.clock.date().isoformat()


@dataclass
class Company:
    """An invented company with its registration and share register as they stand."""

    number: int
    code: str
    enterprise_id: str
    register_id: str
    registration: Body
    register: Body


def found_company(number: int, rng: random.Random) -> Company:
    """Invent a company."""
    city = list(CITIES)[number % len(CITIES)]
    trade = list(TRADES)[(number // len(CITIES) + number) % len(TRADES)]
    division, street = CITIES[city]
    code = f"ZJ{300001 + number * 7:06d}{'FGPT'[number % 4]}"
    shares = rng.randrange(1000, 9000, 50) * 10_000
    registration: Body = {
        "enterprise_code": code,
        "enterprise_did": did(code),
        "name": f"{city}{WORDS[number % len(WORDS)]}{trade}股份有限公司",
        "uscc": uscc(division, 210 + number * 37),
        "legal_representative": f"{rng.choice(SURNAMES)}**",
        "registered_capital_fen": shares * 100,
        "established": f"{rng.randint(2004, 2021)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        "address": {
            "province": "浙江省",
            "city": f"{city}市",
            "street": f"{street}{rng.randint(1, 680)}号",
        },
        "industry": TRADES[trade],
        "board": rng.choice(("专精特新板", "成长板", "创新板")),
        "website": f"https://www.example-{number:02d}.cn",
        "status": "挂牌",
    }
    holders = [person(rng, number * 10 + 1), person(rng, number * 10 + 2), fund(rng, number)]
    first = shares * 6 // 10
    for holder, amount in zip(holders, (first, shares // 4, shares - first - shares // 4), strict=True):
        holder["shares"] = amount
    register = {
        "enterprise": {},
        "enterprise_did": did(code),
        "record_date": "",
        "total_shares": shares,
        "holders": holders,
    }
    return Company(number, code, f"ent-{code}", f"reg-{code}", registration, register)


def person(rng: random.Random, number: int) -> Body:
    """A natural person as holder, name masked."""
    return {
        "investor_did": did(f"R{100_000_000 + number * 13:09d}"),
        "kind": "自然人",
        "name": f"{rng.choice(SURNAMES)}{'*' * rng.randint(1, 2)}",
        "shares": 0,
        "pledged_shares": 0,
    }


def fund(rng: random.Random, number: int) -> Body:
    """An institution as holder."""
    index = rng.randrange(len(FUNDS))
    return {
        "investor_did": did(f"Q{200_000_000 + index * 1009 + number:09d}"),
        "kind": "机构",
        "name": FUNDS[index],
        "shares": 0,
        "pledged_shares": 0,
    }


def copy(body: Body) -> Body:
    """A body that later changes don't touch."""
    copied: Body = json.loads(json.dumps(body))
    return copied


def register_all(ledger: Ledger, companies: list[Company]) -> Iterator[Body]:
    """Registration of every company, followed by its share register."""
    for company in companies:
        yield ledger.submit("enterprise_registration", company.enterprise_id, "create", company.registration)
        company.register["enterprise"] = ledger.reference(company.enterprise_id)
        company.register["record_date"] = ledger.today()
        yield ledger.submit("share_register", company.register_id, "create", copy(company.register))


def transfer(ledger: Ledger, company: Company, number: int) -> Iterator[Body]:
    """A transfer from the first holder to a newcomer, and the register in full after it."""
    rng = ledger.rng
    holders = company.register["holders"]
    seller, buyer = holders[0], person(rng, 5000 + number) if number % 3 else fund(rng, 500 + number)
    shares = seller["shares"] // rng.randint(5, 12)
    price = rng.randint(105, 980)
    yield ledger.submit(
        "share_transfer",
        f"trf-2025-{number:05d}",
        "create",
        {
            "register": ledger.reference(company.register_id),
            "enterprise_did": did(company.code),
            "transferor_did": seller["investor_did"],
            "transferee_did": buyer["investor_did"],
            "shares": shares,
            "price_fen": price,
            "amount_fen": shares * price,
            "manner": rng.choice(("协议转让", "协议转让", "司法过户", "继承")),
            "agreement_no": f"浙股转字〔2025〕第{number:04d}号",
            "trade_date": ledger.today(),
        },
    )
    seller["shares"] -= shares
    buyer["shares"] = shares
    holders.append(buyer)
    company.register["record_date"] = ledger.today()
    yield ledger.submit("share_register", company.register_id, "update", copy(company.register))


def pledge(ledger: Ledger, company: Company, number: int) -> Iterator[Body]:
    """A pledge of the second holder's shares to a bank, and the register in full after it."""
    rng = ledger.rng
    holder = company.register["holders"][1]
    shares = holder["shares"] // 2
    bank = rng.randrange(len(BANKS))
    yield ledger.submit(
        "share_pledge",
        f"pld-2025-{number:05d}",
        "create",
        {
            "register": ledger.reference(company.register_id),
            "enterprise_did": did(company.code),
            "pledgor_did": holder["investor_did"],
            "pledgee": {"name": BANKS[bank], "did": did(f"S{300_000_000 + bank:09d}")},
            "shares": shares,
            "secured_amount_fen": shares * rng.randint(60, 240),
            "contract_no": f"质字第2025{number:05d}号",
            "start_date": ledger.today(),
            "end_date": (ledger.clock.date() + timedelta(days=365)).isoformat(),
            "status": "质押中",
            "remarks": "在线办理",
        },
    )
    holder["pledged_shares"] = shares
    company.register["record_date"] = ledger.today()
    yield ledger.submit("share_register", company.register_id, "update", copy(company.register))


def release(ledger: Ledger, number: int) -> Body:
    """A pledge's end: only what changes, and a remark cleared by null."""
    body = {"status": "已解除", "release_date": ledger.today(), "remarks": None}
    return ledger.submit("share_pledge", f"pld-2025-{number:05d}", "update", body)


def change_details(ledger: Ledger, company: Company, number: int) -> Body:
    """A company moves, or has a new representative and gives its website up (cleared by null)."""
    rng = ledger.rng
    if number % 2:
        body: Body = {"address": {"street": f"滨江大道{rng.randint(1, 900)}号"}}
    else:
        body = {"legal_representative": f"{rng.choice(SURNAMES)}**", "website": None}
    return ledger.submit("enterprise_registration", company.enterprise_id, "update", body)


def correct(ledger: Ledger, company: Company, number: int) -> Body:
    """A correction: of a register's newest version, or of a registration's first with a later one on top."""
    if number % 2:
        body = copy(company.register)
        body["holders"][0]["name"] = f"{ledger.rng.choice(SURNAMES)}*"
        company.register = body
        return ledger.submit(
            "share_register", company.register_id, "overwrite", copy(body), remark="更正股东名称录入错误"
        )
    company.registration["registered_capital_fen"] += 500_000_00
    return ledger.submit(
        "enterprise_registration",
        company.enterprise_id,
        "overwrite",
        copy(company.registration),
        at=0,
        remark="更正注册资本录入错误",
    )


def make() -> list[Body]:
    """All objects in the order to submit."""
    rng = random.Random(20240314)  # noqa: S311  (invented data, the same every time)
    ledger = Ledger(rng)
    companies = [found_company(number, rng) for number in range(COMPANIES)]
    objects = list(register_all(ledger, companies))
    for number, company in enumerate(companies[:34], start=1):
        objects += transfer(ledger, company, number)
    for number, company in enumerate(companies[4:22], start=1):
        objects += pledge(ledger, company, number)
    objects += [release(ledger, number) for number in range(1, 13)]
    objects += [change_details(ledger, company, n) for n, company in enumerate(companies[8:24])]
    objects += [correct(ledger, company, n) for n, company in enumerate(companies[8:18])]
    for company in companies[36:]:
        objects.append(
            ledger.submit("share_register", company.register_id, "delete", {}, remark="企业摘牌，名册终止")
        )
        objects.append(
            ledger.submit("enterprise_registration", company.enterprise_id, "delete", {}, remark="企业摘牌")
        )
    return objects


def render(objects: list[Body]) -> str:
    """One object a line, in canonical JSON."""
    return "".join(
        json.dumps(item, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n" for item in objects
    )


def main(arguments: list[str]) -> int:
    """Write the file, or with --check compare it."""
    text = render(make())
    if arguments == ["--check"]:
        if OUTPUT.read_text(encoding="utf-8") != text:
            print(f"{OUTPUT} is not what this script makes: run it without --check", file=sys.stderr)
            return 1
        return 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    OUTPUT.write_text(text, encoding="utf-8")
    print(f"{OUTPUT}: {text.count(chr(10))} objects")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
