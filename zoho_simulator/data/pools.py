"""Words and names for generated records, in many scripts and with characters that break naive readers."""

FIRST_NAMES = (
    "Jane", "José", "Søren", "Zoë", "Ananya", "Łukasz", "Mei", "Patricia", "Oluwaseun", "Siobhán", "Юлия",
    "Νίκος", "محمد", "दिव्या", "健太", "민준", "明", "שרה", "สมชาย", 'Robert "Bob"', "Anne-Marie",
    "Jean-Luc", "D'Arcy", "Øyvind", "Renée", "Iñaki", "Chloë", "Amit", "Fatima", "Goran", "Kwame", "Lena",
    "Maya", "Nils", "Priya", "Quentin", "Ravi",
)  # fmt: skip
LAST_NAMES = (
    "Boyle", "O'Brien", "van der Berg", "Müller", "Straße", "Ångström", "Nguyễn", "Šimić", "Yılmaz",
    "Żółć", "Иванова", "Παπαδόπουλος", "الخطيب", "शर्मा", "山田", "김", "王", "כהן", "ใจดี", "King, Jr.",
    "de la Cruz", "García-Márquez", "Smith", "Patel", "Okafor", "Rossi", "Kowalski", "Larsen", "Dubois",
    "Silva", "Haddad", "Tanaka", "Novák", "Fernández",
)  # fmt: skip
COMPANIES = (
    "Acme Corporation", "Smith, Jones & Partners", 'The "Best" Bakery', "Zylker GmbH & Co. KG",
    "株式会社サンプル", "ООО Ромашка", "Café Crème S.à r.l.", "Østlund A/S", "شركة المثال", "भारत उद्योग",
    "O'Neil Logistics, Inc.", "Globex", "Initech", "Umbrella Handels AG", "Wayne, Kent & Sons",
    "Stark Metall", "Hooli 🚀", "Vandelay Industries", "Soylent, Ltd.",
)  # fmt: skip
COMPANY_TAILS = (
    "", " Group", " Holding", ", Inc.", " (EMEA)", " North", " & Sons", " 2000", " – Süd", " Trading",
)  # fmt: skip
STREETS = (
    "12 High Street", "Unter den Linden 5", "1-7-1 Konan, Minato-ku", "Rua Augusta, 1500",
    "Strada Lipscani nr. 4", "221B Baker Street\nFlat 2", "Building 4,\r\nGate B",
    '"Villa Rosa", Via Roma 3', "ul. Długa 8/12", "100 MG Road", "شارع التحرير ٥", "улица Ленина, 1",
    "Plot 9, Sector 21", "4 chemin des Érables",
)  # fmt: skip
CITIES = (
    ("Berlin", "Berlin", "10117", "Germany"), ("Tokyo", "東京都", "108-0075", "Japan"),
    ("Pune", "Maharashtra", "411001", "India"), ("São Paulo", "SP", "01305-000", "Brazil"),
    ("Zürich", "ZH", "8001", "Switzerland"), ("Austin", "TX", "78701", "USA"),
    ("Kraków", "Małopolskie", "31-001", "Poland"), ("القاهرة", "", "11511", "Egypt"),
    ("Lyon", "", "69001", "France"), ("London", "Greater London", "NW1 6XE", "United Kingdom"),
    ("Washington, D.C.", "DC", "20001", "USA"),
)  # fmt: skip
TITLES = (
    "CEO", "VP Sales, EMEA", "Head of R&D", "Geschäftsführer", "Ingénieur", "部長", "Buyer",
    'Director "Special Projects"', "Accountant", "Office Manager", "CTO", "Praktikant:in",
)  # fmt: skip
PHRASES = (
    "Met at the trade fair.", "Prefers mail, not phone", 'Said: "call me in spring"',
    "Budget approved 💶", "Vertrag läuft aus", "первый контакт", "次回は来月",
    "Interested in 3,000 seats", "Asked for a quote; no answer yet", "🙂 very friendly",
    "Blocks on legal", "See the attached offer", "=1+1", "Competitor: Globex, Initech",
    "Zahlungsziel 30 Tage", "طلب عرض سعر", "needs a\tdemo", "O'Brien decides", "50% discount?",
    "Follow up on Monday",
)  # fmt: skip
JOINTS = (" ", "\n", "\r\n", "; ", ", ")
DOMAINS = (
    "example.com", "example.org", "mail.example.net", "zylker.example", "acme.example", "firma.example",
)  # fmt: skip
SOURCES = (
    "Advertisement", "Cold Call", "Employee Referral", "Online Store", "Partner", "Web Download",
    "Trade Show",
)  # fmt: skip
INDUSTRIES = (
    "Technology", "Manufacturing", "Education", "Banking, Finance", "Healthcare", "Energy",
    "Food & Beverage",
)  # fmt: skip
STAGES = (
    "Qualification", "Needs Analysis", "Value Proposition", "Proposal/Price Quote", "Negotiation/Review",
    "Closed Won", "Closed Lost",
)  # fmt: skip
STATUSES = ("Attempted to Contact", "Contacted", "Junk Lead", "Not Contacted", "Pre-Qualified")
TASK_STATUSES = ("Not Started", "Deferred", "In Progress", "Completed", "Waiting for input")
PRIORITIES = ("High", "Highest", "Low", "Lowest", "Normal")
INTERESTS = ("Sailing", "Chess", "Wine", "Opera", "Cycling", "Go 囲碁", "Football")
TAGS = ("vip", "newsletter", "überfällig", "2024", "prospect", "do not call")
CURRENCIES = ("USD", "EUR", "INR", "GBP", "JPY")
USERS = (
    ("Patricia", "Boyle"), ("Amelia", "Burrows"), ("Jörg", "Weiß"), ("Sunita", "Rao"), ("陽子", "佐藤"),
    ("Ted", "Watson"), ("Inès", "Faure"), ("Carlos", "Núñez"), ("Olga", "Петрова"), ("Sam", "O'Hara"),
    ("Lee", "Chang"),
)  # fmt: skip
