"""Codes that Chinese standards define: unified social credit codes and region names."""

from __future__ import annotations

from typing import Literal

Region = Literal[
    "beijing", "tianjin", "hebei", "shanxi", "neimenggu", "liaoning", "jilin", "heilongjiang", "shanghai",
    "jiangsu", "zhejiang", "anhui", "fujian", "jiangxi", "shandong", "henan", "hubei", "hunan", "guangdong",
    "guangxi", "hainan", "chongqing", "sichuan", "guizhou", "yunnan", "shaanxi", "gansu", "qinghai",
    "ningxia", "xinjiang", "dalian", "ningbo", "xiamen", "qingdao", "shenzhen",
]  # fmt: skip
"""The chain ids of regional equity markets (JR/T 0325-2024)."""

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
USCC_PATTERN = "^[0-9A-HJ-NPQRTUW-Y]{2}[0-9]{6}[0-9A-HJ-NPQRTUW-Y]{10}$"


def uscc_check_digit(first17: str) -> str:
    """Return the 18th character of a unified social credit code (GB 32100-2015, clause 4).

    Each character's place in the standard's 31-letter alphabet is weighted by 3^i mod 31, i from 0;
    the check digit makes the weighted sum, with weight 1 for itself, divisible by 31.
    Raises ValueError for a character outside of the alphabet.
    """
    total = sum(_ALPHABET.index(letter) * pow(3, i, 31) for i, letter in enumerate(first17))
    return _ALPHABET[-total % 31]


def valid_uscc(code: str) -> str:
    """Return the code; raises ValueError, saying the right check digit, if its own is wrong."""
    right = uscc_check_digit(code[:17])
    if code[17] != right:
        raise ValueError(f"{code[:17]}{right}, by the check digit of GB 32100-2015")
    return code
