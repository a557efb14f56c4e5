"""What the invented shop sells: sixty gifts in two languages, prices in shekels."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

CATEGORIES = {
    "coffee": ("קפה ותה", "Coffee and tea"),
    "sweets": ("מתוקים", "Sweets"),
    "pantry": ("מהמזווה", "Pantry"),
    "ceramics": ("קרמיקה", "Ceramics"),
    "home": ("לבית", "Home"),
    "judaica": ("יודאיקה", "Judaica"),
    "care": ("טיפוח", "Care"),
    "paper": ("נייר ומשחקים", "Paper and games"),
}


@dataclass(frozen=True, slots=True)
class Product:
    """One gift. `shape` and `hue` (0–359) are how its picture is drawn."""

    sku: str
    he: str
    en: str
    price: Decimal
    category: str
    shape: str
    hue: int

    def name(self, language: str) -> str:
        """In the language of who looks."""
        return self.he if language == "he" else self.en

    def properties(self, base_url: str, language: str) -> dict[str, Any]:
        """As an event carries it."""
        return {
            "product_id": self.sku,
            "sku": self.sku,
            "name": self.name(language),
            "category": CATEGORIES[self.category][0 if language == "he" else 1],
            "price": str(self.price),
            "currency": "ILS",
            "image_url": f"{base_url}/static/demo/{self.sku.lower()}.png",
            "url": f"https://shop.example.com/{language}/{self.sku.lower()}",
        }


_LINES = """
coffee|finjan|18|89|פינג׳אן נחושת לשלוש כוסות|Copper finjan for three
coffee|finjan|205|109|פינג׳אן אמייל כחול|Blue enamel finjan
coffee|jar|25|42|קפה שחור עם הל, 250 גרם|Black coffee with cardamom, 250 g
coffee|jar|12|48|פולי קפה קלייה בינונית|Medium roast coffee beans
coffee|cup|190|36|כוסות קפה קטנות, זוג|Pair of small coffee cups
coffee|cup|40|64|ספל גדול בעבודת יד|Large handmade mug
coffee|jar|95|38|תה עשבים מהגליל|Herbal tea from the Galilee
coffee|box|130|72|מארז תה לואיזה ונענע|Verbena and mint tea set
coffee|box|28|159|ערכת קפה לטיול|Coffee kit for the trail
sweets|box|45|39|חלווה וניל ופיסטוק|Vanilla and pistachio halva
sweets|box|22|44|חלווה בלגית משוקולד|Chocolate marbled halva
sweets|jar|38|36|דבש פרחי בר|Wildflower honey
sweets|jar|30|52|דבש אבוקדו מהחולה|Avocado honey from the Hula
sweets|box|340|68|שוקולד מריר בעבודת יד|Handmade dark chocolate
sweets|box|5|58|תמרים ממולאים באגוזים|Walnut filled dates
sweets|box|320|46|רחת לוקום בניחוח ורדים|Rose Turkish delight
sweets|jar|355|34|ריבת תאנים|Fig jam
sweets|bowl|33|49|עוגיות מעמול|Maamoul cookies
pantry|bottle|80|69|שמן זית כתית, חצי ליטר|Extra virgin olive oil, half litre
pantry|bottle|110|54|שמן זית בתיבול זעתר|Olive oil with zaatar
pantry|jar|85|28|תערובת זעתר|Zaatar blend
pantry|jar|48|32|טחינה גולמית משומשום מלא|Whole sesame tahini
pantry|bottle|330|46|סילאן תמרים טהור|Pure date syrup
pantry|jar|15|35|תערובת תבלינים לקובה|Kubbeh spice mix
pantry|bottle|300|118|יין אדום מהרי יהודה|Red wine from the Judean Hills
pantry|jar|60|29|לימונים כבושים|Preserved lemons
ceramics|bowl|200|129|קערת הגשה בכחול ולבן|Blue and white serving bowl
ceramics|bowl|20|86|קערית לזיתים|Olive dish
ceramics|plate|210|98|צלחת רימונים|Pomegranate plate
ceramics|plate|170|74|צלחת מרוקאית קטנה|Small Moroccan plate
ceramics|vase|28|145|אגרטל חימר גבוה|Tall clay vase
ceramics|vase|190|119|אגרטל כחול ים|Sea blue vase
ceramics|cup|15|58|כוס קידוש מקרמיקה|Ceramic kiddush cup
ceramics|plate|45|82|מגש לעוגה|Cake tray
home|cloth|350|89|מפת שולחן רקומה|Embroidered tablecloth
home|cloth|220|65|מגבות מטבח, שלישייה|Three kitchen towels
home|cloth|35|149|כיסוי לכרית, דוגמת קילים|Kilim cushion cover
home|candle|42|54|נר שעוות דבורים|Beeswax candle
home|candle|270|62|נר ריחני לבנדר|Lavender scented candle
home|plant|120|59|עציץ עם תבלינים|Potted kitchen herbs
home|plant|100|79|סוקולנט בעציץ מצויר|Succulent in a painted pot
home|box|30|135|קרש חיתוך מעץ זית|Olive wood board
judaica|candle|210|179|חנוכייה מפליז|Brass hanukkiah
judaica|candle|50|38|נרות חנוכה צבעוניים|Coloured Hanukkah candles
judaica|cloth|230|119|כיסוי לחלה|Challah cover
judaica|plate|25|189|קערת סדר|Seder plate
judaica|candle|200|165|זוג פמוטים|Pair of candlesticks
judaica|box|210|92|בית מזוזה מאבן ירושלמית|Jerusalem stone mezuzah case
judaica|jar|40|57|צלוחית לדבש וכפית|Honey dish with spoon
care|soap|110|24|סבון שמן זית|Olive oil soap
care|soap|280|27|סבון לבנדר|Lavender soap
care|bottle|180|79|קרם ידיים ים המלח|Dead Sea hand cream
care|jar|195|66|מלח אמבט מים המלח|Dead Sea bath salt
care|bottle|20|88|שמן גוף שקדים|Almond body oil
care|box|175|199|מארז פינוק|Pampering gift set
paper|card|0|18|כרטיס ברכה מאויר|Illustrated greeting card
paper|card|205|49|לוח שנה עברי|Hebrew calendar
paper|book|30|95|ספר מתכונים מהשוק|Recipes from the market
paper|book|260|69|מחברת בכריכת בד|Cloth bound notebook
paper|box|55|110|שש־בש מעץ|Wooden backgammon
"""


def _product(number: int, line: str) -> Product:
    category, shape, hue, price, he, en = line.split("|")
    return Product(f"KM-{100 + number}", he, en, Decimal(price), category, shape, int(hue))


PRODUCTS = tuple(_product(number, line) for number, line in enumerate(_LINES.strip().splitlines(), 1))
