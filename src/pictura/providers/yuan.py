"""The rate for prices that vendors publish in yuan only: one place, so that all are turned into dollars alike."""

from __future__ import annotations

from pictura.core.money import Currency

YUAN = Currency("CNY", rate="6.81", date="2026-05", source="a reseller's price page (third party)")
